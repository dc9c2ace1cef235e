//! A request's body that is read only once a server takes it.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};

/// Given to a server. As long as nothing was read of it, [`Untouched`] can give it to another one.
pub struct Unread(Arc<Mutex<Held>>);

/// The other end of an [`Unread`].
pub struct Untouched(Arc<Mutex<Held>>);

struct Held {
    body: Incoming,
    touched: bool,
}

impl Untouched {
    pub fn new(body: Incoming) -> Self {
        Self(Arc::new(Mutex::new(Held { body, touched: false })))
    }

    /// For one more server; none if an earlier one has read of it.
    pub fn give(&self) -> Option<Unread> {
        let touched = self.0.lock().unwrap_or_else(PoisonError::into_inner).touched;
        (!touched).then(|| Unread(Arc::clone(&self.0)))
    }
}

impl Body for Unread {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        held.touched = true;
        Pin::new(&mut held.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).body.size_hint()
    }
}
