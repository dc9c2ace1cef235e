//! A medium for tests: it keeps in memory what was written, fails when it is told to, and loses at a crash some of what
//! was not synced.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use redb::StorageBackend;

#[derive(Debug, Default)]
pub(crate) struct Shaky {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    synced: Vec<u8>,
    /// Since the last sync, in their order.
    writes: Vec<Write>,
    now: Vec<u8>,
    /// Bytes that it may still grow by.
    room: Option<u64>,
    failing: bool,
    /// Nothing more is written by whoever has it open.
    crashes: u64,
    syncs: u64,
}

#[derive(Debug, Clone)]
enum Write {
    Length(u64),
    Bytes(u64, Vec<u8>),
}

impl Shaky {
    pub(crate) fn is_empty(&self) -> bool {
        self.state().now.is_empty()
    }

    pub(crate) fn set_failing(&self, failing: bool) {
        self.state().failing = failing;
    }

    /// From now on it is full: nothing can be added to its length.
    pub(crate) fn set_room(&self, room: Option<u64>) {
        self.state().room = room;
    }

    pub(crate) fn syncs(&self) -> u64 {
        self.state().syncs
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.state().now.clone()
    }

    pub(crate) fn with_bytes(bytes: Vec<u8>) -> Arc<Self> {
        let state = State { synced: bytes.clone(), now: bytes, ..State::default() };
        Arc::new(Self { state: Mutex::new(state) })
    }

    /// The power is cut: of each write since the last sync `survives` says whether it got there, some only by half.
    pub(crate) fn crash(&self, mut survives: impl FnMut() -> u8) -> Arc<Self> {
        let mut state = self.state();
        state.crashes += 1;
        let mut bytes = state.synced.clone();
        for write in &state.writes {
            match (write, survives() % 4) {
                (_, 0) => {}
                (Write::Length(length), _) => bytes.resize(*length as usize, 0),
                (Write::Bytes(at, data), 1) => put(&mut bytes, *at, &data[..data.len() / 2]),
                (Write::Bytes(at, data), _) => put(&mut bytes, *at, data),
            }
        }
        drop(state);
        Self::with_bytes(bytes)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}

fn put(bytes: &mut Vec<u8>, at: u64, data: &[u8]) {
    let at = at as usize;
    if at + data.len() > bytes.len() {
        bytes.resize(at + data.len(), 0);
    }
    bytes[at..at + data.len()].copy_from_slice(data);
}

#[derive(Debug)]
pub(crate) struct Backend(pub(crate) Arc<Shaky>);

impl StorageBackend for Backend {
    fn len(&self) -> Result<u64, io::Error> {
        Ok(self.0.state().now.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), io::Error> {
        let state = self.0.state();
        let at = offset as usize;
        let bytes = state.now.get(at..at + out.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(bytes);
        Ok(())
    }

    fn set_len(&self, length: u64) -> Result<(), io::Error> {
        let mut state = self.0.state();
        let grows = length.saturating_sub(state.now.len() as u64);
        state.may_write(grows)?;
        state.room = state.room.map(|room| room - grows);
        state.now.resize(length as usize, 0);
        state.writes.push(Write::Length(length));
        Ok(())
    }

    fn sync_data(&self) -> Result<(), io::Error> {
        let mut state = self.0.state();
        state.may_write(0)?;
        state.syncs += 1;
        state.synced = state.now.clone();
        state.writes.clear();
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), io::Error> {
        let mut state = self.0.state();
        state.may_write(0)?;
        put(&mut state.now, offset, data);
        state.writes.push(Write::Bytes(offset, data.to_vec()));
        Ok(())
    }
}

impl State {
    fn may_write(&self, grows: u64) -> Result<(), io::Error> {
        if self.failing || self.crashes > 0 {
            return Err(io::ErrorKind::Other.into());
        }
        if self.room.is_some_and(|room| grows > room) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(())
    }
}
