//! A web server for key sets that does what a test tells it, on a free port of the loopback interface.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use parking_lot::Mutex;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};

/// What the server answers.
#[derive(Clone)]
pub(super) enum Reply {
    /// 200 with this body and these fields.
    Json(String, &'static str),
    /// This status line and fields, no body.
    Head(String),
    /// A body that goes on as long as somebody reads, with or without a length.
    Endless { with_length: bool },
    /// Nothing until [`Server::release`], then the first kind.
    Held(String),
}

#[derive(Clone)]
pub(super) struct Server {
    address: SocketAddr,
    state: Arc<State>,
}

struct State {
    reply: Mutex<Reply>,
    requests: AtomicUsize,
    arrived: Semaphore,
    released: Semaphore,
}

impl Server {
    pub(super) async fn start(reply: Reply) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let state = Arc::new(State {
            reply: Mutex::new(reply),
            requests: AtomicUsize::new(0),
            arrived: Semaphore::new(0),
            released: Semaphore::new(0),
        });
        let server = Self { address: listener.local_addr().unwrap(), state: Arc::clone(&state) };
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(answer(socket, Arc::clone(&state)));
            }
        });
        server
    }

    pub(super) fn url(&self) -> url::Url {
        format!("http://{}/jwks.json", self.address).parse().unwrap()
    }

    pub(super) fn now_answers(&self, reply: Reply) {
        *self.state.reply.lock() = reply;
    }

    pub(super) fn requests(&self) -> usize {
        self.state.requests.load(Ordering::SeqCst)
    }

    /// Waits for a request that has not been waited for yet.
    pub(super) async fn request_arrived(&self) {
        self.state.arrived.acquire().await.unwrap().forget();
    }

    /// Lets one held answer go.
    pub(super) fn release(&self) {
        self.state.released.add_permits(1);
    }
}

async fn answer(mut socket: TcpStream, state: Arc<State>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match socket.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return,
        }
    }
    state.requests.fetch_add(1, Ordering::SeqCst);
    state.arrived.add_permits(1);
    let reply = state.reply.lock().clone();
    // A client that goes away in the middle is part of some tests.
    let _ = match reply {
        Reply::Json(body, fields) => socket.write_all(json(&body, fields).as_bytes()).await,
        Reply::Head(head) => {
            let text = format!("HTTP/1.1 {head}content-length: 0\r\nconnection: close\r\n\r\n");
            socket.write_all(text.as_bytes()).await
        }
        Reply::Held(body) => {
            state.released.acquire().await.unwrap().forget();
            socket.write_all(json(&body, "").as_bytes()).await
        }
        Reply::Endless { with_length } => {
            let length = if with_length { "content-length: 1073741824\r\n" } else { "" };
            let head = format!("HTTP/1.1 200 OK\r\n{length}connection: close\r\n\r\n");
            let mut result = socket.write_all(head.as_bytes()).await;
            // Bounded, should the client forget to stop.
            for _ in 0..256 {
                if result.is_ok() {
                    result = socket.write_all(&[b' '; 64 << 10]).await;
                }
            }
            result
        }
    };
}

fn json(body: &str, fields: &str) -> String {
    format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n{fields}content-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    )
}
