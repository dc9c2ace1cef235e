//! An event that somebody waits for until every receiver has it, or has been given up on.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

type Done = Box<dyn FnOnce() + Send>;

pub(super) struct Debt {
    receivers: AtomicUsize,
    done: Mutex<Option<Done>>,
}

impl Debt {
    pub(super) fn new(receivers: usize, done: impl FnOnce() + Send + 'static) -> Self {
        Self { receivers: AtomicUsize::new(receivers), done: Mutex::new(Some(Box::new(done))) }
    }

    /// One receiver is done with it. Not said when the process ends first: then somebody else will report it.
    pub(super) fn settled(&self) {
        if self.receivers.fetch_sub(1, Ordering::AcqRel) == 1
            && let Some(done) = self.done.lock().ok().and_then(|mut done| done.take())
        {
            done();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn it_is_paid_when_the_last_receiver_is_done() {
        let paid = Arc::new(AtomicUsize::new(0));
        let again = Arc::clone(&paid);
        let debt = Debt::new(2, move || again.store(1, Ordering::Relaxed));
        debt.settled();
        assert_eq!(paid.load(Ordering::Relaxed), 0);
        debt.settled();
        assert_eq!(paid.load(Ordering::Relaxed), 1);
    }
}
