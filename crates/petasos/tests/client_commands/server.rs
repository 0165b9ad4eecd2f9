//! A small server that keeps the order of a connection's requests as a hub does, and answers as a script tells it.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
};

use axum::body::Body;
use http::{HeaderMap, Method, Request, Response, StatusCode, Version};
use http_body_util::BodyExt;
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use parking_lot::Mutex;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::{Notify, Semaphore, watch},
    task::JoinHandle,
};
use tokio_rustls::TlsAcceptor;

/// A request as the script sees it.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    /// How many came before it, on all connections.
    pub(crate) nth: usize,
    /// Which connection it came on, counted from 1.
    pub(crate) connection: usize,
    pub(crate) method: Method,
    pub(crate) version: Version,
    pub(crate) headers: HeaderMap,
    /// Query and form, decoded.
    pub(crate) fields: Vec<(String, String)>,
}

impl Call {
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(field, _)| field == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

/// What the server does with a request.
pub(crate) enum Reply {
    /// Stores the update and answers with its id.
    Store,
    /// As `Store`, with one more header field.
    StoreWith(&'static str, &'static str),
    /// Stores the update; the answer waits for a permit.
    StoreAndHold(Arc<Semaphore>),
    /// Stores the update and cuts the connection instead of an answer.
    StoreAndCut,
    /// Stores the update and says good-bye to the connection, which ends when its requests are answered.
    StoreAndGoAway,
    /// Cuts the connection and stores nothing, neither this one nor any behind it.
    Cut,
    /// Does not store it.
    Refuse(u16, &'static str),
    /// Does not store it; the answer waits for a permit.
    RefuseAndHold(u16, &'static str, Arc<Semaphore>),
    /// Does not store it, nor anything behind it on this connection.
    RefuseFromHereOn(u16, &'static str),
    /// Something else.
    Answer(Response<Body>),
}

/// How the server speaks.
#[derive(Clone)]
pub(crate) enum Speaks {
    /// HTTP/1.1 and HTTP/2 with prior knowledge.
    Both,
    /// Only HTTP/1.1: it answers the preface of HTTP/2 with an error.
    Http1,
    /// Only HTTP/1.1: it waits for the rest of what it takes for a request.
    Http1Silent,
    /// TLS, with HTTP/2 or HTTP/1.1 as negotiated.
    Tls(TlsAcceptor),
}

type Script = dyn Fn(&Call) -> Reply + Send + Sync;

/// A running server; it stops when it is dropped.
pub(crate) struct FakeHub {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

struct Shared {
    script: Box<Script>,
    speaks: Speaks,
    log: Mutex<Vec<Call>>,
    calls: AtomicUsize,
    connections: AtomicUsize,
    open: watch::Sender<usize>,
    under_way: watch::Sender<usize>,
    most_under_way: AtomicUsize,
    /// Closes all connections that are idle.
    close: Notify,
}

/// One connection.
struct Connection {
    shared: Arc<Shared>,
    number: usize,
    heads: AtomicU64,
    turn: watch::Sender<u64>,
    /// Nothing more is stored.
    broken: AtomicBool,
    cut: Notify,
    go_away: Notify,
}

impl FakeHub {
    pub(crate) async fn start(
        speaks: Speaks,
        script: impl Fn(&Call) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let shared = Arc::new(Shared {
            script: Box::new(script),
            speaks,
            log: Mutex::default(),
            calls: AtomicUsize::new(0),
            connections: AtomicUsize::new(0),
            open: watch::Sender::new(0),
            under_way: watch::Sender::new(0),
            most_under_way: AtomicUsize::new(0),
            close: Notify::new(),
        });
        let accepting = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Self { address, shared, accepting }
    }

    pub(crate) fn url(&self) -> String {
        let scheme = if matches!(self.shared.speaks, Speaks::Tls(_)) { "https" } else { "http" };
        format!("{scheme}://localhost:{}/.well-known/mercure", self.address.port())
    }

    /// The updates that were stored, in their order.
    pub(crate) fn log(&self) -> Vec<Call> {
        self.shared.log.lock().clone()
    }

    /// The data of the updates that were stored; of updates with one id only the first.
    pub(crate) fn data_without_doubles(&self) -> Vec<String> {
        let mut ids = std::collections::HashSet::new();
        let log = self.log();
        let firsts = log.iter().filter(|call| ids.insert(call.field("id").expect("an id").to_owned()));
        firsts.map(|call| call.field("data").expect("data").to_owned()).collect()
    }

    pub(crate) fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// The most requests that were under way at once.
    pub(crate) fn most_under_way(&self) -> usize {
        self.shared.most_under_way.load(Ordering::SeqCst)
    }

    /// Waits until so many requests are under way.
    pub(crate) async fn until_under_way(&self, requests: usize) {
        let mut under_way = self.shared.under_way.subscribe();
        under_way.wait_for(|now| *now == requests).await.expect("the server runs");
    }

    /// Closes all connections, and waits until they are.
    pub(crate) async fn close_connections(&self) {
        self.shared.close.notify_waiters();
        let mut open = self.shared.open.subscribe();
        open.wait_for(|open| *open == 0).await.expect("the server runs");
    }
}

impl Drop for FakeHub {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((stream, _)) = listener.accept().await {
        let connection = Arc::new(Connection {
            number: shared.connections.fetch_add(1, Ordering::SeqCst) + 1,
            shared: Arc::clone(&shared),
            heads: AtomicU64::new(0),
            turn: watch::Sender::new(0),
            broken: AtomicBool::new(false),
            cut: Notify::new(),
            go_away: Notify::new(),
        });
        tokio::spawn(async move {
            connection.shared.open.send_modify(|open| *open += 1);
            tokio::select! {
                () = serve(stream, Arc::clone(&connection)) => {}
                () = connection.cut.notified() => {}
                () = connection.shared.close.notified() => {}
            }
            connection.shared.open.send_modify(|open| *open -= 1);
        });
    }
}

async fn serve(stream: TcpStream, connection: Arc<Connection>) {
    match connection.shared.speaks.clone() {
        Speaks::Tls(acceptor) => {
            let Ok(stream) = acceptor.accept(stream).await else { return };
            let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
            serve_http(stream, http2, connection).await;
        }
        speaks => {
            let mut beginning = [0; 4];
            while stream.peek(&mut beginning).await.is_ok_and(|bytes| (1..4).contains(&bytes)) {
                tokio::task::yield_now().await;
            }
            let http2 = beginning == *b"PRI ";
            match speaks {
                Speaks::Http1Silent if http2 => std::future::pending().await,
                Speaks::Http1 => serve_http(stream, false, connection).await,
                _ => serve_http(stream, http2, connection).await,
            }
        }
    }
}

async fn serve_http(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    http2: bool,
    connection: Arc<Connection>,
) {
    let service = service_fn(|request: Request<Incoming>| {
        // The place in the order is taken before anything is awaited: in the order of the heads.
        let place = connection.heads.fetch_add(1, Ordering::SeqCst);
        respond(Arc::clone(&connection), place, request)
    });
    if http2 {
        let serving = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
            .serve_connection(TokioIo::new(stream), service);
        tokio::pin!(serving);
        tokio::select! {
            result = &mut serving => drop(result),
            () = connection.go_away.notified() => {
                serving.as_mut().graceful_shutdown();
                drop(serving.await);
            }
        }
    } else {
        let serving =
            hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
        drop(serving.await);
    }
}

async fn respond(
    connection: Arc<Connection>,
    place: u64,
    request: Request<Incoming>,
) -> Result<Response<Body>, std::io::Error> {
    let shared = &connection.shared;
    shared.under_way.send_modify(|under_way| {
        *under_way += 1;
        shared.most_under_way.fetch_max(*under_way, Ordering::SeqCst);
    });
    let response = handle(&connection, place, request).await;
    shared.under_way.send_modify(|under_way| *under_way -= 1);
    response
}

async fn handle(
    connection: &Arc<Connection>,
    place: u64,
    request: Request<Incoming>,
) -> Result<Response<Body>, std::io::Error> {
    let shared = &connection.shared;
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let mut turn = connection.turn.subscribe();
    turn.wait_for(|turn| *turn == place).await.expect("the connection is there");
    let query = parts.uri.query().unwrap_or_default();
    let fields =
        [query.as_bytes(), &body].map(|form| url::form_urlencoded::parse(form).into_owned()).into_iter();
    let call = Call {
        nth: shared.calls.fetch_add(1, Ordering::SeqCst),
        connection: connection.number,
        method: parts.method,
        version: parts.version,
        headers: parts.headers,
        fields: fields.flatten().collect(),
    };
    if connection.broken.load(Ordering::SeqCst) {
        connection.turn.send_modify(|turn| *turn += 1);
        return Ok(text(503, "unavailable"));
    }
    let id = call.field("id").unwrap_or_default().to_owned();
    let reply = (shared.script)(&call);
    let stores = match &reply {
        Reply::Store
        | Reply::StoreWith(..)
        | Reply::StoreAndHold(_)
        | Reply::StoreAndCut
        | Reply::StoreAndGoAway => true,
        Reply::Cut
        | Reply::Refuse(..)
        | Reply::RefuseAndHold(..)
        | Reply::RefuseFromHereOn(..)
        | Reply::Answer(_) => false,
    };
    if stores {
        shared.log.lock().push(call);
    }
    match &reply {
        Reply::StoreAndCut | Reply::Cut => {
            connection.cut.notify_one();
            // The next place never comes.
            std::future::pending().await
        }
        Reply::RefuseFromHereOn(..) => connection.broken.store(true, Ordering::SeqCst),
        Reply::StoreAndGoAway => connection.go_away.notify_one(),
        _ => {}
    }
    connection.turn.send_modify(|turn| *turn += 1);
    Ok(match reply {
        Reply::StoreAndHold(permits) => {
            permits.acquire().await.expect("it is never closed").forget();
            text(200, &id)
        }
        Reply::RefuseAndHold(status, body, permits) => {
            permits.acquire().await.expect("it is never closed").forget();
            text(status, body)
        }
        Reply::StoreWith(name, value) => {
            let mut response = text(200, &id);
            response.headers_mut().insert(name, http::HeaderValue::from_static(value));
            response
        }
        Reply::Refuse(status, body) | Reply::RefuseFromHereOn(status, body) => text(status, body),
        Reply::Answer(response) => response,
        Reply::Store | Reply::StoreAndGoAway | Reply::StoreAndCut | Reply::Cut => {
            // Answers come in any order.
            for _ in 0..rand::random_range(0..20) {
                tokio::task::yield_now().await;
            }
            text(200, &id)
        }
    })
}

/// How an event stream ends.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Ends {
    /// As it should.
    Cleanly,
    /// In the middle.
    Abruptly,
    /// Never.
    Not,
}

/// An event stream that says it continues after `after`, and brings `chunks`.
pub(crate) fn stream(after: Option<&'static str>, chunks: &[&'static str], ends: Ends) -> Reply {
    use futures_util::{StreamExt, stream};
    let chunks: Vec<_> = chunks.iter().map(|chunk| Ok(bytes::Bytes::from_static(chunk.as_bytes()))).collect();
    let end = match ends {
        Ends::Cleanly => stream::empty().boxed(),
        Ends::Abruptly => stream::once(async { Err(std::io::Error::other("cut")) }).boxed(),
        Ends::Not => stream::pending().boxed(),
    };
    // One chunk at a time goes out: what is ready at once would be sent in one piece.
    let chunks = stream::iter(chunks).then(|chunk| async {
        tokio::task::yield_now().await;
        chunk
    });
    let mut response = Response::new(Body::from_stream(chunks.chain(end)));
    let headers = response.headers_mut();
    headers.insert("content-type", http::HeaderValue::from_static("text/event-stream"));
    if let Some(after) = after {
        headers.insert("mercure-last-event-id", http::HeaderValue::from_static(after));
    }
    Reply::Answer(response)
}

/// A plain answer.
pub(crate) fn text(status: u16, body: &str) -> Response<Body> {
    let mut response = Response::new(Body::from(body.to_owned()));
    *response.status_mut() = StatusCode::from_u16(status).expect("a status");
    response
}
