//! One request of a connection on its way to the router, and its response on the way back.

use std::{
    convert::Infallible,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, header::CONNECTION};
use hyper::body::{Frame, Incoming, SizeHint};
use hyper_util::service::TowerToHyperService;
use petasos_hub::http::{CloseWithoutAnswer, ConnectionInfo, OpenStream, PublishOrder};
use tokio::sync::{Notify, watch};

use super::{
    activity::{Activity, RequestGuard},
    drain::Phase,
    exit::{Exit, Leaving},
};

/// The requests of one connection.
#[derive(Clone)]
pub(super) struct ConnectionService {
    router: TowerToHyperService<axum::Router>,
    info: ConnectionInfo,
    activity: Arc<Activity>,
    phase: watch::Receiver<Phase>,
    exit: Option<Exit>,
}

/// What a service says of the connection it serves.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) address: SocketAddr,
    pub(super) tls: bool,
    /// See [`ConnectionInfo::cut`].
    pub(super) cut: Option<Arc<Notify>>,
    /// Where streams leave hyper by; `None` where they stay.
    pub(super) exit: Option<Exit>,
}

/// A request that is to get no answer (C01): HTTP/1 connections end, HTTP/2 streams are refused in a way that says the
/// request was not processed.
#[derive(Debug, thiserror::Error)]
#[error("closed without an answer")]
pub(super) struct Unanswered(#[source] h2::Error);

impl ConnectionService {
    pub(super) fn new(
        router: axum::Router,
        peer: Peer,
        activity: Arc<Activity>,
        phase: watch::Receiver<Phase>,
    ) -> Self {
        let Peer { address, tls, cut, exit } = peer;
        let order = PublishOrder::default();
        Self {
            router: TowerToHyperService::new(router),
            info: ConnectionInfo { peer: address, tls, order, cut, takes_streams: false },
            activity,
            phase,
            exit,
        }
    }
}

impl hyper::service::Service<Request<Incoming>> for ConnectionService {
    type Response = Response<Tracked>;
    type Error = Unanswered;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Unanswered>> + Send>>;

    /// hyper calls this in the order in which heads come, so the places in the order of publishes are taken here and not
    /// in the future, which may run whenever it likes.
    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        let publishes = request.method() == Method::POST;
        let mut guard = self.activity.request_begins(publishes);
        request.extensions_mut().insert(self.info.order.next_turn());
        let exit = self.exit.clone().filter(|_| Exit::is_for(&request));
        request
            .extensions_mut()
            .insert(ConnectionInfo { takes_streams: exit.is_some(), ..self.info.clone() });
        let answer = self.router.call(request);
        let phase = self.phase.clone();
        Box::pin(async move {
            let mut response = answer.await.unwrap_or_else(|never: Infallible| match never {});
            if response.extensions().get::<CloseWithoutAnswer>().is_some() {
                return Err(Unanswered(h2::Reason::REFUSED_STREAM.into()));
            }
            if let Some(exit) = exit
                && let Some(subscription) =
                    response.extensions_mut().remove().and_then(|open: OpenStream| open.take())
            {
                let (head, _) = response.into_parts();
                exit.leave(Leaving { head, subscription });
                // The task of the connection takes it from here, and this goes with the rest of hyper.
                return std::future::pending().await;
            }
            // A publisher that is told to take another connection finds the hub that comes after this one. HTTP/2 has
            // GOAWAY for that, and hyper drops this field there.
            if publishes && *phase.borrow() != Phase::Serving {
                response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            if hyper::body::Body::size_hint(response.body()).exact().is_none() {
                guard.streams();
            }
            Ok(response.map(|body| Tracked { body, _guard: guard }))
        })
    }
}

/// The body of a response; its request ends with it.
#[derive(Debug)]
pub(super) struct Tracked {
    body: Body,
    _guard: RequestGuard,
}

impl hyper::body::Body for Tracked {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
