//! An answer that is there at once, or has to be waited for.

use std::future::Future;
use std::pin::Pin;

/// In one process most answers are at hand, and a caller that can go on at once should. A future that is dropped before
/// its end may or may not have had its effect; what it started is not left half done.
pub enum Soon<T> {
    Now(T),
    Later(Pin<Box<dyn Future<Output = T> + Send>>),
}

impl<T> Soon<T> {
    pub fn later(future: impl Future<Output = T> + Send + 'static) -> Self {
        Self::Later(Box::pin(future))
    }

    pub async fn wait(self) -> T {
        match self {
            Self::Now(value) => value,
            Self::Later(future) => future.await,
        }
    }

    /// The value if it is at hand.
    pub fn now(self) -> Option<T> {
        match self {
            Self::Now(value) => Some(value),
            Self::Later(_) => None,
        }
    }

    pub fn map<U: 'static>(self, map: impl FnOnce(T) -> U + Send + 'static) -> Soon<U>
    where
        T: 'static,
    {
        match self {
            Self::Now(value) => Soon::Now(map(value)),
            Self::Later(future) => Soon::later(async move { map(future.await) }),
        }
    }
}
