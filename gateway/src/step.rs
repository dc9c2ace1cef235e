//! Work that is usually done at once: it is tried first, and only what really waits becomes a future of the connection.

use std::future::Future;
use std::task::{Context, Poll, Waker};

use turnpike_engine::Step;

pub(crate) fn step<T: 'static>(work: impl Future<Output = T> + 'static) -> Step<T> {
    let mut work = Box::pin(work);
    // Whoever polls it next brings a waker that wakes somebody.
    match work.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(done) => Step::Now(done),
        Poll::Pending => Step::Later(work),
    }
}
