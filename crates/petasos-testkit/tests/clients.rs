//! The clients of the testkit against servers that say exactly what a test tells them to: a client that overlooks a
//! violation would make every conformance case worthless.

#![allow(clippy::unwrap_used)]

use std::{net::SocketAddr, time::Duration};

use petasos_testkit::{Connection, End, EventStream, Request, TestHub, matching, topic};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

const STREAM_HEAD: &str =
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";

/// How the server closes.
#[derive(Clone, Copy)]
enum Close {
    Cleanly,
    WithReset,
}

/// Answers one request with these pieces, each written on its own, and closes.
async fn server(pieces: &[&str], close: Close) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let pieces: Vec<String> = pieces.iter().map(|&piece| piece.to_owned()).collect();
    tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        read_head(&mut socket).await;
        for piece in pieces {
            socket.write_all(piece.as_bytes()).await.unwrap();
            // Lets the pieces arrive as separate segments.
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        if let Close::WithReset = close {
            socket.set_zero_linger().unwrap();
        }
    });
    address
}

async fn read_head(socket: &mut TcpStream) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(socket.read_u8().await.unwrap());
    }
}

async fn stream_of(pieces: &[&str], close: Close) -> EventStream {
    let mut all = vec![STREAM_HEAD];
    all.extend_from_slice(pieces);
    Request::new(server(&all, close).await, "GET", "/").stream().await
}

#[tokio::test]
async fn events_and_the_clean_end_are_read() {
    let pieces = ["2\r\n:\n\r\n", "15\r\nid: 1\ndata: a", "\ndata:\n\n\r\n", "0\r\n\r\n"];
    let mut stream = stream_of(&pieces, Close::Cleanly).await;
    let event = stream.next().await;
    assert_eq!((event.id.as_str(), event.data.as_str()), ("1", "a\n"));
    stream.ends_cleanly().await;
    assert_eq!(stream.last_id(), "1");
}

#[tokio::test]
async fn chunks_are_seen_one_by_one() {
    let mut stream = stream_of(&["2\r\n:\n\r\n8\r\ndata:1\n\n\r\n", "0\r\n\r\n"], Close::Cleanly).await;
    assert_eq!(stream.next_chunk().await, ":\n");
    assert_eq!(stream.next_chunk().await, "data:1\n\n");
}

#[tokio::test]
#[should_panic(expected = "C03")]
async fn an_event_that_spans_two_chunks_is_noticed() {
    let mut stream = stream_of(&["7\r\ndata:1\n\r\n1\r\n\n\r\n0\r\n\r\n"], Close::Cleanly).await;
    stream.next().await;
}

#[tokio::test]
async fn a_missing_last_chunk_is_noticed() {
    let mut stream = stream_of(&["8\r\ndata:1\n\n\r\n"], Close::Cleanly).await;
    stream.next().await;
    assert!(matches!(stream.next_or_end().await, Err(End::Cut(_))));
}

#[tokio::test]
async fn a_reset_is_noticed() {
    let mut stream = stream_of(&["8\r\ndata:1\n\n\r\n"], Close::WithReset).await;
    let (_, end) = stream.end_within(Duration::from_secs(5)).await;
    assert!(matches!(end, End::Cut(_)), "{end:?}");
}

#[tokio::test]
#[should_panic(expected = "C04")]
async fn a_parameter_of_the_content_type_is_noticed() {
    let head =
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nContent-Length: 0\r\n\r\n";
    Request::new(server(&[head], Close::Cleanly).await, "GET", "/").stream().await;
}

#[tokio::test]
#[should_panic(expected = "not a chunk size")]
async fn a_malformed_chunk_is_noticed() {
    stream_of(&["x\r\n"], Close::Cleanly).await.next().await;
}

#[tokio::test]
async fn interim_answers_are_skipped_and_lengths_are_kept() {
    let address = server(
        &["HTTP/1.1 100 Continue\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokX"],
        Close::Cleanly,
    );
    let answer = Request::new(address.await, "GET", "/").send().await.expect(200);
    assert_eq!(answer.text(), "ok");
}

#[tokio::test]
async fn a_body_that_is_too_short_is_noticed() {
    let address = server(&["HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nok"], Close::Cleanly).await;
    let answer = Request::new(address, "GET", "/").send().await;
    assert!(matches!(answer.end, End::Cut(_)));
}

#[tokio::test]
#[should_panic(expected = "more than once")]
async fn a_doubled_field_is_noticed() {
    let address = server(&["HTTP/1.1 204 No Content\r\nVary: a\r\nVary: b\r\n\r\n"], Close::Cleanly).await;
    Request::new(address, "GET", "/").send().await.required("vary");
}

#[tokio::test]
async fn a_request_is_written_as_it_was_built() {
    let hub = TestHub::new(([127, 0, 0, 1], 9).into(), None, true);
    let request = hub.subscribe(matching("a b")).without_token().after("urn:x:1").request();
    assert_eq!(
        String::from_utf8(request.bytes().to_vec()).unwrap(),
        "GET /.well-known/mercure?match=a%20b HTTP/1.1\r\nHost: 127.0.0.1:9\r\nLast-Event-ID: urn:x:1\r\n\r\n"
    );
    let request = hub.publish(topic("a").and("b"), "x&y").without_token().private().request();
    assert!(request.bytes().ends_with(b"Content-Length: 37\r\n\r\ntopic=a&topic=b&data=x%26y&private=on"));
}

#[tokio::test]
async fn a_closed_port_is_an_error_and_no_panic() {
    let address = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    assert!(Connection::try_open(address).await.is_err());
}
