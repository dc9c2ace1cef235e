//! A directory with a log in it, gone with its value.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use turnpike_audit::{
    Anchor, Audit, Closing, Event, Kind, Note, Outcome, Report, Settings, Signer, Trust, Verify, segments,
};

/// Long enough for a busy machine; reaching it means that something is broken.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// With the hour a file ends and another begins. No test takes longer than this.
const BEFORE_THE_HOUR: Duration = Duration::from_secs(30);

pub(crate) struct Place(PathBuf);

impl Place {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let left = Duration::from_secs(3_600 - now.as_secs() % 3_600);
        if left < BEFORE_THE_HOUR {
            std::thread::sleep(left);
        }
        let name = format!("audit-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn settings(&self) -> Settings {
        Settings {
            reserve_bytes: 4_096,
            // However long the disk takes, a file is signed at its beginning and at its end.
            decide_wait_max: PATIENCE,
            checkpoint_every: Duration::from_hours(1),
            ..Settings::new(self.path(), "a")
        }
    }

    pub(crate) fn open(&self) -> (Audit, Closing) {
        Audit::open(&self.settings(), vec![signer(1)], Box::new(())).unwrap()
    }

    /// All of the log as it stands in its files.
    pub(crate) fn text(&self) -> String {
        let files = segments(self.path()).unwrap();
        files.iter().map(|file| std::fs::read_to_string(&file.path).unwrap()).collect()
    }

    pub(crate) fn copy(&self) -> Self {
        let copy = Self::new();
        for file in segments(self.path()).unwrap() {
            std::fs::copy(&file.path, copy.path().join(file.path.file_name().unwrap())).unwrap();
        }
        copy
    }

    /// Without asking for anchors: a log that was cut passes.
    pub(crate) fn verify(&self) -> Report {
        self.verify_with(trust(), false)
    }

    pub(crate) fn verify_with(&self, trust: Trust, anchors_needed: bool) -> Report {
        let verify = Verify { trust, tail_max: Duration::from_secs(10), anchors_needed };
        verify.directory(self.path(), &mut |_| ()).unwrap()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub(crate) fn signer(seed: u8) -> Signer {
    Signer::from_seed("turnpike/a", [seed; 32]).unwrap()
}

pub(crate) fn trust() -> Trust {
    Trust { keys: vec![signer(1).public().clone()], anchors: Vec::new() }
}

pub(crate) fn login(user: &str) -> Event {
    Event::new(Kind::Login, Outcome::Success)
        .user(user)
        .address("192.0.2.7")
        .connection("c-1")
        .transport("websocket")
}

/// Keeps every checkpoint, as another node would.
#[derive(Clone, Default)]
pub(crate) struct Witness(pub(crate) Arc<Mutex<Vec<Note>>>);

impl Witness {
    pub(crate) fn notes(&self) -> Vec<Note> {
        self.0.lock().unwrap().clone()
    }
}

impl Anchor for Witness {
    fn checkpoint(&mut self, note: &Note) {
        self.0.lock().unwrap().push(note.clone());
    }
}

pub(crate) fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let began = Instant::now();
    while !condition() {
        assert!(began.elapsed() < PATIENCE, "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
