//! How a running load is asked: one line over a loopback connection, one line back, `ok …` or `no …`.

use std::{net::Ipv4Addr, process::ExitCode};

use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
};

const PORT: u16 = 7070;

/// Whoever asks, and is to be answered.
pub(crate) struct Question {
    stream: BufReader<TcpStream>,
    /// The words of it.
    pub(crate) words: Vec<String>,
}

/// Where questions come.
pub(crate) async fn listen() -> TcpListener {
    TcpListener::bind((Ipv4Addr::LOCALHOST, PORT)).await.unwrap()
}

/// The next question.
pub(crate) async fn next(listener: &TcpListener) -> Question {
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let mut stream = BufReader::new(stream);
        let mut line = String::new();
        if stream.read_line(&mut line).await.is_ok_and(|bytes| bytes > 0) {
            return Question { stream, words: line.split_whitespace().map(str::to_owned).collect() };
        }
    }
}

impl Question {
    /// Answers it. Whoever asked may have gone.
    pub(crate) async fn answer(mut self, good: bool, text: &str) {
        let line = format!("{} {text}\n", if good { "ok" } else { "no" });
        let _ = self.stream.get_mut().write_all(line.as_bytes()).await;
    }
}

/// Asks the load of this pod.
pub(crate) async fn ask(question: &str) -> ExitCode {
    let Ok(stream) = TcpStream::connect((Ipv4Addr::LOCALHOST, PORT)).await else {
        eprintln!("no load is running here");
        return ExitCode::FAILURE;
    };
    let mut stream = BufReader::new(stream);
    let mut answer = String::new();
    let asked = async {
        stream.get_mut().write_all(format!("{question}\n").as_bytes()).await?;
        stream.read_line(&mut answer).await
    };
    match asked.await {
        Ok(_) if answer.starts_with("ok ") => {
            print!("{}", &answer[3..]);
            ExitCode::SUCCESS
        }
        _ => {
            eprintln!("the load answers: {}", answer.trim());
            ExitCode::FAILURE
        }
    }
}
