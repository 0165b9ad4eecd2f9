//! A key server for tests: it serves a JWK set that can be exchanged, counts how often it was asked, and fails on
//! command.

use std::{net::SocketAddr, sync::Arc};

use parking_lot::Mutex;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// A running key server. Dropping it stops it.
#[derive(Debug)]
pub struct KeyServer {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    task: JoinHandle<()>,
}

#[derive(Debug)]
struct State {
    document: String,
    failing: bool,
    asked: usize,
}

impl KeyServer {
    /// Serves `document` on a free port.
    pub async fn start(document: &str) -> Self {
        let listener =
            TcpListener::bind("127.0.0.1:0").await.unwrap_or_else(|error| panic!("cannot listen: {error}"));
        let address = listener.local_addr().unwrap_or_else(|error| panic!("no address: {error}"));
        let state = Arc::new(Mutex::new(State { document: document.to_owned(), failing: false, asked: 0 }));
        let task = tokio::spawn(serve(listener, Arc::clone(&state)));
        Self { address, state, task }
    }

    /// Where the set is.
    pub fn url(&self) -> url::Url {
        let text = format!("http://{}/jwks.json", self.address);
        text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    /// Serves this from now on.
    pub fn serve(&self, document: &str) {
        document.clone_into(&mut self.state.lock().document);
    }

    /// Answers 500 from now on.
    pub fn fail(&self) {
        self.state.lock().failing = true;
    }

    /// How many requests came.
    pub fn asked(&self) -> usize {
        self.state.lock().asked
    }
}

impl Drop for KeyServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The set of [`crate::keys::JWKS`] with only the keys of these ids.
pub fn only(ids: &[&str]) -> String {
    let mut set: serde_json::Value = serde_json::from_str(crate::keys::JWKS)
        .unwrap_or_else(|error| panic!("the fixed set is broken: {error}"));
    if let Some(keys) = set["keys"].as_array_mut() {
        keys.retain(|key| key["kid"].as_str().is_some_and(|id| ids.contains(&id)));
    }
    set.to_string()
}

async fn serve(listener: TcpListener, state: Arc<Mutex<State>>) {
    while let Ok((socket, _)) = listener.accept().await {
        tokio::spawn(answer(socket, Arc::clone(&state)));
    }
}

async fn answer(mut socket: TcpStream, state: Arc<Mutex<State>>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match socket.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return,
        }
    }
    let answer = {
        let mut state = state.lock();
        state.asked += 1;
        let (status, body) =
            if state.failing { ("500 Broken", "") } else { ("200 OK", state.document.as_str()) };
        format!(
            "HTTP/1.1 {status}\r\nContent-Type: application/jwk-set+json\r\nContent-Length: {}\r\n\
             Cache-Control: max-age=3600\r\nConnection: close\r\n\r\n{body}",
            body.len()
        )
    };
    // The asking side may be gone already.
    let _ = socket.write_all(answer.as_bytes()).await;
}
