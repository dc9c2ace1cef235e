//! What the log bears. Not run by itself: `cargo test --release -p turnpike-audit figures -- --ignored --nocapture --test-threads 1`.

use std::time::{Duration, Instant};

use turnpike_audit::{Audit, Settings, Verdict};

use crate::place::{Place, login, signer};

const TASKS: usize = 512;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "prints figures; minutes in debug"]
async fn decisions_a_second_and_how_long_they_wait() {
    let place = Place::new();
    let (audit, closing) = Audit::open(&settings(&place), vec![signer(1)], Box::new(())).unwrap();
    let (began, lasts) = (Instant::now(), Duration::from_secs(10));
    let tasks: Vec<_> = (0..TASKS)
        .map(|task| {
            let audit = audit.clone();
            tokio::spawn(async move {
                let mut waits = Vec::new();
                while began.elapsed() < lasts {
                    let event = login(&format!("user-{task}"));
                    let asked = Instant::now();
                    audit.decide(event).await.unwrap();
                    waits.push(asked.elapsed());
                }
                waits
            })
        })
        .collect();
    let mut waits = Vec::new();
    for task in tasks {
        waits.extend(task.await.unwrap());
    }
    let elapsed = began.elapsed();
    waits.sort_unstable();
    let at = |share: f64| waits[(waits.len() as f64 * share) as usize];
    println!(
        "{TASKS} tasks: {:.0} acknowledged records/s, p50 {:?}, p99 {:?}, p99.9 {:?}, {} batches",
        waits.len() as f64 / elapsed.as_secs_f64(),
        at(0.5),
        at(0.99),
        at(0.999),
        audit.figures().batches.load(std::sync::atomic::Ordering::Relaxed),
    );
    tokio::task::spawn_blocking(|| closing.close()).await.unwrap();
    println!("verified at {:.0} records/s", verified(&place));
}

#[test]
#[ignore = "prints figures; minutes in debug"]
fn notes_a_second() {
    let place = Place::new();
    let (audit, closing) = Audit::open(&settings(&place), vec![signer(1)], Box::new(())).unwrap();
    let (began, count) = (Instant::now(), 1_000_000);
    for number in 0..count {
        while audit.queued() > 20_000 {
            std::thread::sleep(Duration::from_millis(1));
        }
        audit.note(login(&format!("user-{}", number % 1_000)));
    }
    closing.close();
    let elapsed = began.elapsed();
    println!("{:.0} records/s written by one thread", f64::from(count) / elapsed.as_secs_f64());
    let bytes = audit.figures().bytes.load(std::sync::atomic::Ordering::Relaxed);
    println!("{} bytes a record", bytes / count as u64);
    println!("verified at {:.0} records/s", verified(&place));
}

fn settings(place: &Place) -> Settings {
    Settings { queue_records_max: 65_536, ..place.settings() }
}

/// Records a second.
fn verified(place: &Place) -> f64 {
    let began = Instant::now();
    let report = place.verify();
    assert_eq!(report.verdict, Verdict::Sound, "{report:?}");
    report.records as f64 / began.elapsed().as_secs_f64()
}
