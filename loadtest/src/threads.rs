//! The threads that users with a connection live on. Each has a runtime of its own and a reader of its connections, and what
//! lives there stays: nothing that a connection is given wakes another thread. What users do is not known here.

use std::{io, sync::Arc, thread};

use tokio::{
    runtime::{Builder, Handle, Runtime},
    sync::oneshot,
};

use crate::reader::Reader;

/// A runtime of one thread: the one that blocks on it.
pub fn one() -> io::Result<Runtime> {
    Builder::new_current_thread().enable_all().build()
}

/// A runtime whose threads share their work: for what needs much CPU and little of the system.
pub fn sharing(threads: usize) -> io::Result<Runtime> {
    Builder::new_multi_thread().worker_threads(threads).enable_all().build()
}

/// Where a user lives.
pub struct Home {
    pub handle: Handle,
    pub reader: Arc<Reader>,
}

impl Home {
    fn on(handle: &Handle) -> io::Result<Self> {
        let _inside = handle.enter();
        Ok(Self { reader: Reader::begin()?, handle: handle.clone() })
    }
}

pub struct Threads {
    all: Vec<Home>,
    /// Those beside the first end with these.
    _others: Vec<oneshot::Sender<()>>,
}

impl Threads {
    /// The runtime that calls this, and others beside it.
    pub fn begin(count: usize) -> io::Result<Self> {
        let mut all = vec![Home::on(&Handle::current())?];
        let mut others = Vec::new();
        for number in 1..count {
            let runtime = one()?;
            all.push(Home::on(runtime.handle())?);
            let (end, ended) = oneshot::channel();
            others.push(end);
            thread::Builder::new().name(format!("users-{number}")).spawn(move || {
                // Nobody sends anything: it is over when the sender is gone.
                let _ = runtime.block_on(ended);
                runtime.shutdown_background();
            })?;
        }
        Ok(Self { all, _others: others })
    }

    /// Where a user lives: with the others of its room if there are rooms enough, since they share an account.
    pub fn of(&self, user: u32, room: u32, rooms: u32) -> &Home {
        let count = self.all.len() as u32;
        let key = if rooms >= count.saturating_mul(ROOMS_A_THREAD_MIN) { room } else { user };
        &self.all[(key % count) as usize]
    }
}

/// With fewer one thread could have all of the load.
const ROOMS_A_THREAD_MIN: u32 = 8;

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn users_are_shared_out_and_rooms_stay_together() {
        let runtime = one().unwrap();
        let threads = runtime.block_on(async { Threads::begin(3).unwrap() });
        for rooms in [1_u32, 7, 450] {
            let mut users: BTreeMap<_, u32> = BTreeMap::new();
            let mut of_room: BTreeMap<u32, BTreeMap<_, u32>> = BTreeMap::new();
            for user in 0..9_000 {
                let home = threads.of(user, user % rooms, rooms).handle.id();
                *users.entry(home.to_string()).or_default() += 1;
                *of_room.entry(user % rooms).or_default().entry(home.to_string()).or_default() += 1;
            }
            assert_eq!(users.into_values().collect::<Vec<_>>(), [3_000; 3], "{rooms}");
            assert!(rooms < 450 || of_room.values().all(|homes| homes.len() == 1));
        }
    }

    #[test]
    fn what_lives_on_another_thread_is_heard_of() {
        let runtime = one().unwrap();
        let names = runtime.block_on(async {
            let threads = Threads::begin(2).unwrap();
            let name = || thread::current().name().map(ToOwned::to_owned);
            let there = threads.of(1, 0, 1).handle.spawn(async move { name() }).await.unwrap();
            let here = threads.of(0, 0, 1).handle.spawn(async move { name() }).await.unwrap();
            (here, there)
        });
        assert_eq!(names.1.as_deref(), Some("users-1"));
        assert_ne!(names.0, names.1);
    }
}
