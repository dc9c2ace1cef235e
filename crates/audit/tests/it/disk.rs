//! A disk that is full, or that fails: the policy holds at once, the log recovers by itself, and it says what is missing.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use turnpike_audit::{
    Audit, Closing, Directory, Disk, Health, Medium, NotRecorded, OnFailure, Settings, Verdict,
};

use crate::place::{Place, login, signer, until};

/// What is wrong with the disk now.
#[derive(Default)]
struct Faults {
    /// Writes that leave nothing behind but half of themselves.
    full: AtomicBool,
    /// What a reserve frees: so many writes succeed on a full disk.
    spare: AtomicU64,
    reserved: AtomicBool,
    sync_fails: AtomicBool,
    /// The next write succeeds, and after it nothing does.
    dies_after_writing: AtomicBool,
    /// A sync does not return for so long.
    hangs: AtomicBool,
    /// Nothing can be made, cut or written.
    dead: AtomicBool,
}

#[derive(Clone)]
struct Failing(Arc<Mutex<Directory>>, Arc<Faults>);

struct FailingFile(Box<dyn Medium>, Arc<Faults>);

fn refused() -> io::Error {
    io::Error::other("input/output error")
}

impl Disk for Failing {
    fn create(&mut self, name: &str) -> io::Result<Box<dyn Medium>> {
        if self.1.dead.load(Ordering::SeqCst) {
            return Err(refused());
        }
        let file = self.0.lock().unwrap().create(name)?;
        Ok(Box::new(FailingFile(file, self.1.clone())))
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        self.0.lock().unwrap().remove(name)
    }

    fn reserve(&mut self, _: u64) -> io::Result<()> {
        if self.1.full.load(Ordering::SeqCst) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.1.reserved.store(true, Ordering::SeqCst);
        Ok(())
    }

    fn release(&mut self) -> io::Result<bool> {
        let was = self.1.reserved.swap(false, Ordering::SeqCst);
        if was {
            self.1.spare.store(3, Ordering::SeqCst);
        }
        Ok(was)
    }
}

impl Medium for FailingFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.1.dead.load(Ordering::SeqCst) {
            return Err(refused());
        }
        let spare = self.1.spare.load(Ordering::SeqCst);
        if self.1.full.load(Ordering::SeqCst) {
            if spare == 0 {
                self.0.append(&bytes[..bytes.len() / 2])?;
                return Err(io::ErrorKind::StorageFull.into());
            }
            self.1.spare.store(spare - 1, Ordering::SeqCst);
        }
        let written = self.0.append(bytes);
        if self.1.dies_after_writing.swap(false, Ordering::SeqCst) {
            self.1.dead.store(true, Ordering::SeqCst);
        }
        written
    }

    fn sync(&mut self) -> io::Result<()> {
        while self.1.hangs.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(1));
        }
        if self.1.sync_fails.swap(false, Ordering::SeqCst) || self.1.dead.load(Ordering::SeqCst) {
            return Err(refused());
        }
        self.0.sync()
    }

    fn truncate(&mut self, bytes: u64) -> io::Result<()> {
        if self.1.dead.load(Ordering::SeqCst) { Err(refused()) } else { self.0.truncate(bytes) }
    }
}

fn open(place: &Place, on_failure: OnFailure) -> (Audit, Closing, Arc<Faults>) {
    let faults = Arc::new(Faults::default());
    let disk = Failing(Arc::new(Mutex::new(Directory::new(place.path()))), faults.clone());
    let settings = Settings { on_failure, decide_wait_max: Duration::from_secs(1), ..place.settings() };
    let (audit, closing) = Audit::open_on(Box::new(disk), &settings, vec![signer(1)], Box::new(())).unwrap();
    (audit, closing, faults)
}

fn health(audit: &Audit) -> Health {
    audit.health().borrow().clone()
}

#[test]
fn a_full_disk_is_written_from_the_reserve_then_refuses_and_recovers_by_itself() {
    let place = Place::new();
    let (audit, closing, faults) = open(&place, OnFailure::Deny);
    audit.decide_blocking(login("before")).unwrap();
    faults.full.store(true, Ordering::SeqCst);
    audit.decide_blocking(login("reserve")).unwrap();
    assert_eq!(health(&audit), Health::Reserve);
    let mut refused = 0;
    until("the reserve is used up", || {
        let outcome = audit.decide_blocking(login("more"));
        refused += u64::from(outcome == Err(NotRecorded::Failing));
        refused == 3
    });
    assert!(matches!(health(&audit), Health::Failing(_)));
    audit.note(login("kept"));
    faults.full.store(false, Ordering::SeqCst);
    until("it recovers", || health(&audit) == Health::Well);
    audit.decide_blocking(login("after")).unwrap();
    closing.close();

    let text = place.text();
    for (user, there) in [("before", true), ("reserve", true), ("kept", true), ("after", true)] {
        assert_eq!(text.contains(&format!("\"{user}\"]")), there, "{user}");
    }
    assert_eq!(text.matches("\"activity\":\"disk_full\"").count(), 1);
    assert_eq!(text.matches("\"activity\":\"disk_recovered\"").count(), 1);
    assert_eq!(text.matches("\"activity\":\"gap\"").count(), 1, "{text}");
    assert!(text.contains("\"refused\":3"), "{text}");
    let report = place.verify();
    assert_eq!((report.verdict, report.segments), (Verdict::Sound, 1), "{report:?}");
}

#[test]
fn a_failed_sync_moves_the_log_to_another_file_and_loses_nothing() {
    let place = Place::new();
    let (audit, closing, faults) = open(&place, OnFailure::Deny);
    audit.decide_blocking(login("before")).unwrap();
    for round in 0..3 {
        faults.sync_fails.store(true, Ordering::SeqCst);
        audit.decide_blocking(login(&format!("user-{round}"))).unwrap();
    }
    closing.close();
    let text = place.text();
    assert_eq!(text.matches("\"activity\":\"disk_failed\"").count(), 3);
    assert_eq!((0..3).filter(|round| text.contains(&format!("user-{round}\"]"))).count(), 3);
    let report = place.verify();
    assert_eq!((report.verdict, report.segments), (Verdict::Sound, 4), "{report:?}");
}

#[test]
fn with_the_other_policy_decisions_take_effect_and_are_written_once_it_is_back() {
    let place = Place::new();
    let (audit, closing, faults) = open(&place, OnFailure::Degrade);
    audit.decide_blocking(login("before")).unwrap();
    faults.dead.store(true, Ordering::SeqCst);
    for round in 0..20 {
        assert_eq!(audit.decide_blocking(login(&format!("during-{round}"))).unwrap().seq, None);
    }
    assert!(matches!(health(&audit), Health::Failing(_)));
    faults.dead.store(false, Ordering::SeqCst);
    until("it recovers", || health(&audit) == Health::Well);
    closing.close();
    let text = place.text();
    assert!((0..20).all(|round| text.contains(&format!("during-{round}\"]"))), "{text}");
    assert_eq!(text.matches("\"activity\":\"gap\"").count(), 1);
    assert_eq!(audit.figures().degraded.load(Ordering::Relaxed), 20);
    assert_eq!(place.verify().verdict, Verdict::Sound, "{:?}", place.verify());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_does_not_answer_is_not_waited_for() {
    let place = Place::new();
    let (audit, closing, faults) = open(&place, OnFailure::Deny);
    audit.decide(login("before")).await.unwrap();
    faults.hangs.store(true, Ordering::SeqCst);
    let began = Instant::now();
    assert_eq!(audit.decide(login("late")).await, Err(NotRecorded::Late));
    assert!(began.elapsed() < Duration::from_secs(5), "a second, on a machine that is not busy");
    assert!(matches!(health(&audit), Health::Failing(_)));
    // Queued behind the one that hangs, and refused before it could be written: so it never is.
    assert_eq!(audit.decide(login("never")).await, Err(NotRecorded::Late));
    faults.hangs.store(false, Ordering::SeqCst);
    audit.decide(login("after")).await.unwrap();
    assert_eq!(health(&audit), Health::Well);
    tokio::task::spawn_blocking(|| closing.close()).await.unwrap();
    let text = place.text();
    assert!(text.contains("\"after\"]") && !text.contains("\"never\"]"));
    assert_eq!(place.verify().verdict, Verdict::Sound);
}

/// What was half written to a disk that then refused everything is taken back once it answers: nothing stands twice.
#[test]
fn what_could_not_be_taken_back_at_once_is_taken_back_later() {
    let place = Place::new();
    let (audit, closing, faults) = open(&place, OnFailure::Deny);
    audit.decide_blocking(login("before")).unwrap();
    faults.dies_after_writing.store(true, Ordering::SeqCst);
    assert_eq!(audit.decide_blocking(login("half")), Err(NotRecorded::Failing));
    assert!(place.text().contains("\"half\"]"), "it stands there");
    faults.dead.store(false, Ordering::SeqCst);
    until("it recovers", || health(&audit) == Health::Well);
    audit.decide_blocking(login("after")).unwrap();
    closing.close();
    assert!(!place.text().contains("\"half\"]"));
    let report = place.verify();
    assert_eq!((report.verdict, report.segments), (Verdict::Sound, 2), "{report:?}");
}

#[test]
fn a_process_that_ends_while_the_disk_is_dead_ends() {
    let place = Place::new();
    let (audit, closing, faults) = open(&place, OnFailure::Deny);
    audit.decide_blocking(login("before")).unwrap();
    faults.dead.store(true, Ordering::SeqCst);
    assert_eq!(audit.decide_blocking(login("never")), Err(NotRecorded::Failing));
    closing.close();
    assert_eq!(audit.decide_blocking(login("never")), Err(NotRecorded::Closed));
    let (_, closing) = place.open();
    closing.close();
    assert_eq!(place.verify().verdict, Verdict::Sound);
    assert!(!place.text().contains("\"never\"]"));
}
