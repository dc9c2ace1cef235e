//! Who asks for something of a session has it to themselves until they are answered.
//!
//! What a client says of a session, an answer and the candidates behind it, reaches the relay in that order also when
//! something must be said again. The lock is fair: it goes to whoever has waited longest.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::{Mutex as Turn, OwnedMutexGuard};
use turnpike_wire::media::MediaSession;

#[derive(Default)]
pub(super) struct Turns(Mutex<HashMap<MediaSession, Weak<Turn<()>>>>);

impl Turns {
    pub(super) async fn take(&self, session: MediaSession) -> OwnedMutexGuard<()> {
        let turn = {
            let mut turns = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if turns.len() == turns.capacity() {
                // About to grow: most of it is nobody's any more.
                turns.retain(|_, turn| turn.strong_count() > 0);
            }
            turns.get(&session).and_then(Weak::upgrade).unwrap_or_else(|| {
                let turn = Arc::default();
                turns.insert(session, Arc::downgrade(&turn));
                turn
            })
        };
        turn.lock_owned().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_after_the_other_for_each_session() {
        let turns = Turns::default();
        let (one, other) = (MediaSession { relay: 1, key: 1 }, MediaSession { relay: 1, key: 2 });
        let first = turns.take(one).await;
        let _other = turns.take(other).await;
        let mut second = Box::pin(turns.take(one));
        assert!(futures_util::poll!(&mut second).is_pending());
        drop(first);
        second.await;
    }

    #[tokio::test]
    async fn what_is_over_is_forgotten() {
        let turns = Turns::default();
        for key in 0..10_000 {
            turns.take(MediaSession { relay: 1, key }).await;
        }
        assert!(turns.0.lock().unwrap().len() < 100);
    }
}
