//! Lanes that begin at the same time share a base.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::watch;
use turnpike_cluster::{
    Base, BaseId, Control, Deliver as _, Full, Lane, LanePosition, Message, SessionId, SessionRecord,
    Sessions, Signal, Soon, Standing, Taken, Unavailable,
};
use turnpike_wire::RoomId;

use crate::clock::Clock;
use crate::mirror::{Mirror, Outlet, Receiver, RingLimits};
use crate::references::References;

/// A store that takes its time over a base, and has nothing else.
#[derive(Default)]
struct Slow(Arc<AtomicUsize>);

impl Sessions for Slow {
    fn outlive_the_process(&self) -> bool {
        false
    }

    fn doubts(&self) -> watch::Receiver<u64> {
        unreachable!("nobody asks")
    }

    fn put(&self, _: &SessionId, _: &SessionRecord) -> Soon<Result<bool, Unavailable>> {
        unreachable!("nobody asks")
    }

    fn take(&self, _: &SessionId) -> Soon<Result<Option<Taken>, Unavailable>> {
        unreachable!("nobody asks")
    }

    fn remove(&self, _: &SessionId) -> Soon<Result<(), Unavailable>> {
        unreachable!("nobody asks")
    }

    fn put_base(&self, _: BaseId, _: &Base) -> Soon<Result<(), Unavailable>> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Soon::later(async {
            tokio::time::sleep(Duration::from_millis(10)).await;
            Ok(())
        })
    }

    fn base(&self, _: BaseId) -> Soon<Result<Option<Base>, Unavailable>> {
        unreachable!("nobody asks")
    }
}

/// Which lanes were said to go on.
#[derive(Default)]
struct Changed(AtomicUsize);

impl Outlet for Changed {
    fn message(&self, _: &Message, _: &str) -> Result<(), Full> {
        Ok(())
    }

    fn resync(&self, _: &RoomId, _: &Standing, _: &str) {}

    fn delivered(&self, _: &Message) {}

    fn lane_changed(&self, _: Lane) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn signal(&self, _: &RoomId, _: &Signal) {}

    fn control(&self, _: Control) {}
}

#[tokio::test(start_paused = true)]
async fn all_lanes_of_a_start_share_one_base() {
    let (slow, changed) = (Arc::new(Slow::default()), Arc::new(Changed::default()));
    let references = Arc::new(References::new(Arc::clone(&slow) as _));
    let mirror = Mirror::new(RingLimits::default(), Clock::start(), Arc::clone(&changed) as _, references);
    let receiver = Receiver(Arc::clone(&mirror));
    let from = |lane: Lane| LanePosition { epoch: 7, pos: lane.index() as u64 };
    join_all(Lane::all().map(|lane| receiver.lane(lane, from(lane)).wait())).await;
    let reached = mirror.reached();
    assert!(Lane::all().all(|lane| reached.at(lane) == from(lane)), "{reached:?}");
    assert_eq!(slow.0.load(Ordering::Relaxed), 1);
    assert_eq!(changed.0.load(Ordering::Relaxed), Lane::all().count());

    // One after the other they have one each.
    for lane in Lane::all().take(3) {
        receiver.lane(lane, LanePosition { epoch: 9, pos: 100 }).wait().await;
        assert_eq!(mirror.reached().at(lane), LanePosition { epoch: 9, pos: 100 });
    }
    assert_eq!(slow.0.load(Ordering::Relaxed), 4);
}
