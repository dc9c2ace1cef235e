//! What the router answers: what a node said, or its own words, in those of the parts that it stands for.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use turnpike_wire::{Answer, Code, Failure};

use crate::way::Way;

/// As the engine says it: the stock client begins a new session at once, and recovers.
const SESSION_UNKNOWN: &str = r#"{"code":1,"message":"Session ID unknown"}"#;

/// The body of an answer.
pub(crate) enum Said {
    Own(Option<Bytes>),
    /// A node's, and the way that it comes by.
    Passed(Incoming, #[expect(dead_code, reason = "it is held until the body has gone")] Way),
}

impl Body for Said {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match &mut *self {
            Self::Own(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Passed(body, _) => Pin::new(body).poll_frame(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Own(bytes) => bytes.is_none(),
            Self::Passed(body, _) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Own(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, Bytes::len) as u64),
            Self::Passed(body, _) => body.size_hint(),
        }
    }
}

pub(crate) fn json(status: StatusCode, body: impl Into<Bytes>) -> Response<Said> {
    let mut response = Response::new(Said::Own(Some(body.into())));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

pub(crate) fn session_unknown() -> Response<Said> {
    json(StatusCode::BAD_REQUEST, SESSION_UNKNOWN)
}

pub(crate) fn failed(status: StatusCode, failure: Failure) -> Response<Said> {
    let retry_after = failure.retry_after_ms.map(Duration::from_millis);
    let answer: Answer<()> = Answer::Failed(failure);
    let mut response =
        json(status, serde_json::to_string(&answer).expect("numbers and texts can always be written"));
    if let Some(wait) = retry_after {
        // In whole seconds (RFC 9110 10.2.3), and not before it is due.
        let seconds = HeaderValue::from(wait.as_millis().div_ceil(1_000).max(1) as u64);
        response.headers_mut().insert(header::RETRY_AFTER, seconds);
    }
    response
}

/// Nobody is there who could take it.
pub(crate) fn nobody(retry_after_ms: u64) -> Response<Said> {
    let failure =
        Failure::new(Code::Unavailable, "no node can take this right now").retry_after_ms(retry_after_ms);
    failed(StatusCode::SERVICE_UNAVAILABLE, failure)
}

/// More come than are let in.
pub(crate) fn later(status: StatusCode, retry_after_ms: u64) -> Response<Said> {
    let failure = Failure::new(Code::RateLimited, "too many come at once").retry_after_ms(retry_after_ms);
    failed(status, failure)
}
