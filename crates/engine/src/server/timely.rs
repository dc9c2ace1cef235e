//! A body that has to be there in time, whoever reads it: one byte a second does not put the end off.

use std::error::Error;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::time::Sleep;

pub(super) struct Timely {
    body: Incoming,
    deadline: Pin<Box<Sleep>>,
    late: Box<dyn FnMut() + Send>,
}

impl Timely {
    /// `late` is called when it was not there in time.
    pub(super) fn new(body: Incoming, limit: Duration, late: impl FnMut() + Send + 'static) -> Self {
        Self { body, deadline: Box::pin(tokio::time::sleep(limit)), late: Box::new(late) }
    }
}

#[derive(Debug)]
pub(super) struct Late;

impl fmt::Display for Late {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the body did not arrive in time")
    }
}

impl Error for Late {}

impl Body for Timely {
    type Data = Bytes;
    type Error = Box<dyn Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) {
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        if self.deadline.as_mut().poll(context).is_ready() {
            (self.late)();
            return Poll::Ready(Some(Err(Box::new(Late))));
        }
        Poll::Pending
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
