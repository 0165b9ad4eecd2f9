//! A connection that questions share: one for all but appends and tails, and one for events, which are large. It is made when it is first needed, and again when
//! it broke; a question that broke with it is asked once more, because asking twice does no harm.

use std::time::Duration;

use redis::{RedisError, RedisResult, Value, aio::MultiplexedConnection};
use tokio::{sync::Mutex, time::Instant};

use super::{
    Engine,
    connect::Link,
    error::{Remedy, remedy, translate},
    script::Program,
    server::Server,
};
use crate::transport::TransportError;

/// How long an answer may take; a list of very many subscriptions takes a while.
const PATIENCE: Duration = Duration::from_secs(5);

/// For how long a failure to connect answers everybody else who asks.
const FAILURE_COUNTS: Duration = Duration::from_millis(300);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Reader {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    link: Option<Link>,
    /// Grows with each connection, so that nobody drops a newer one than that which failed him.
    generation: u64,
    failure: Option<(Instant, TransportError)>,
}

impl Reader {
    async fn connection(&self, engine: &Engine) -> Result<(MultiplexedConnection, u64), TransportError> {
        let mut state = self.state.lock().await;
        if engine.closed.is_cancelled() {
            return Err(TransportError::closed());
        }
        if state.link.is_none() {
            if let Some((at, error)) = &state.failure
                && at.elapsed() < FAILURE_COUNTS
            {
                return Err(error.clone());
            }
            match engine.connect(Some(PATIENCE)).await {
                Ok(link) => {
                    state.link = Some(link);
                    state.generation += 1;
                    state.failure = None;
                }
                Err(error) => {
                    // A login that is refused now was accepted when the log was opened: it may be again.
                    let error = TransportError::unavailable(error.to_string());
                    state.failure = Some((Instant::now(), error.clone()));
                    return Err(error);
                }
            }
        }
        match &state.link {
            Some(link) => Ok((link.connection.clone(), state.generation)),
            None => Err(TransportError::closed()),
        }
    }

    async fn lost(&self, generation: u64) {
        let mut state = self.state.lock().await;
        if state.generation == generation {
            state.link = None;
        }
    }

    /// This server was just seen to take writes.
    pub(super) async fn hope(&self, server: &Server) {
        let mut state = self.state.lock().await;
        state.failure = None;
        // One that takes no writes any more may not even know it yet.
        if state.link.as_ref().is_some_and(|link| link.server.run_id != server.run_id) {
            state.link = None;
        }
    }

    pub(super) async fn close(&self) {
        self.state.lock().await.link = None;
    }
}

impl Engine {
    /// Asks; once more where the connection was lost.
    pub(super) async fn ask<T, F>(
        &self,
        question: impl Fn(MultiplexedConnection) -> F,
    ) -> Result<T, TransportError>
    where
        F: Future<Output = RedisResult<T>>,
    {
        self.ask_on(&self.reader, question).await
    }

    async fn ask_on<T, F>(
        &self,
        reader: &Reader,
        question: impl Fn(MultiplexedConnection) -> F,
    ) -> Result<T, TransportError>
    where
        F: Future<Output = RedisResult<T>>,
    {
        let mut lost: Option<RedisError> = None;
        for _ in 0..2 {
            let (connection, generation) = reader.connection(self).await?;
            match question(connection).await {
                Ok(answer) => return Ok(answer),
                Err(error) if remedy(&error) == Remedy::Reconnect => {
                    reader.lost(generation).await;
                    lost = Some(error);
                }
                Err(error) => return Err(translate(&error)),
            }
        }
        Err(lost.map_or_else(TransportError::closed, |error| translate(&error)))
    }

    /// Runs a script with these arguments.
    pub(super) async fn run(&self, program: &Program, arguments: &[&str]) -> Result<Value, TransportError> {
        self.run_on(&self.reader, program, arguments).await
    }

    /// Runs a script on the connection of this reader.
    pub(super) async fn run_on(
        &self,
        reader: &Reader,
        program: &Program,
        arguments: &[&str],
    ) -> Result<Value, TransportError> {
        self.ask_on(reader, |mut connection| async move {
            program.run(&self.keys, arguments, &mut connection).await
        })
        .await
    }
}
