//! What only shows on the wire: the router behind a plain axum server.

use std::{sync::Arc, time::Duration};

use axum::{Router, routing::get};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use super::common::{LISTED, anonymous, token};

/// Serves a user's own application with the hub in it, and connects to it.
async fn connect() -> TcpStream {
    let app = anonymous().start().await;
    let own = Router::new().route("/", get(|| async { "my own page" })).merge(app.router.clone());
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    let hub = Arc::new(app);
    tokio::spawn(async move {
        let _kept = hub;
        axum::serve(listener, own).await
    });
    TcpStream::connect(address).await.expect("a connection")
}

/// Reads until the text is there, or the end.
async fn read_until(socket: &mut TcpStream, end: &str) -> String {
    let mut read = Vec::new();
    let mut chunk = [0; 4096];
    let reading = async {
        while !String::from_utf8_lossy(&read).contains(end) {
            match socket.read(&mut chunk).await {
                Ok(0) | Err(_) => break,
                Ok(count) => read.extend_from_slice(&chunk[..count]),
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(10), reading).await.expect("an answer in time");
    String::from_utf8(read).expect("text")
}

#[tokio::test]
async fn the_router_works_in_an_application_of_somebody_else() {
    let mut socket = connect().await;
    socket.write_all(b"GET / HTTP/1.1\r\nHost: hub.example\r\n\r\n").await.expect("written");
    assert!(read_until(&mut socket, "my own page").await.starts_with("HTTP/1.1 200"));
    let target = b"GET /.well-known/mercure?match=a HTTP/1.1\r\nHost: hub.example\r\n\r\n";
    socket.write_all(target).await.expect("written");
    let head = read_until(&mut socket, ":\n").await;
    assert!(head.starts_with("HTTP/1.1 200") && head.contains("text/event-stream\r\n"), "{head}");
    assert!(head.contains("transfer-encoding: chunked"), "{head}");
}

#[tokio::test]
async fn s01_head_has_no_length_and_the_connection_goes_on() {
    let mut socket = connect().await;
    for _ in 0..2 {
        let head = b"HEAD /.well-known/mercure?match=a HTTP/1.1\r\nHost: hub.example\r\n\r\n";
        socket.write_all(head).await.expect("written");
        let answer = read_until(&mut socket, "\r\n\r\n").await;
        assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("\r\n\r\n"), "{answer}");
        assert!(!answer.contains("content-length"), "{answer}");
    }
}

#[tokio::test]
async fn c06_p12_the_413_of_three_megabytes_from_another_origin_can_be_read() {
    let mut socket = connect().await;
    let body = vec![b'x'; 3_000_000];
    let head = format!(
        "POST /.well-known/mercure HTTP/1.1\r\nHost: hub.example\r\nOrigin: {LISTED}\r\nAuthorization: Bearer {}\r\n\
         Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n",
        token("publish", &["*"]),
        body.len()
    );
    // As clients do that write everything before they read.
    socket.write_all(head.as_bytes()).await.expect("the head is written");
    socket.write_all(&body).await.expect("the body is written");
    let answer = read_until(&mut socket, "body_too_large").await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    assert!(answer.contains(&format!("access-control-allow-origin: {LISTED}\r\n")), "{answer}");
}

#[tokio::test]
async fn length_and_chunks_together_end_the_connection() {
    let mut socket = connect().await;
    let request = format!(
        "POST /.well-known/mercure HTTP/1.1\r\nHost: hub.example\r\nAuthorization: Bearer {}\r\n\
         Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 7\r\nTransfer-Encoding: chunked\r\n\r\n\
         7\r\ntopic=a\r\n0\r\n\r\nGET /healthz HTTP/1.1\r\nHost: hub.example\r\n\r\n",
        token("publish", &["*"])
    );
    socket.write_all(request.as_bytes()).await.expect("written");
    let answer = read_until(&mut socket, "nothing ends it but the end").await;
    assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{answer}");
    assert!(answer.contains("connection: close"), "{answer}");
}
