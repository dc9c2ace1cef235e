use std::future::pending;

use serde_json::{Value, json};
use turnpike_daemon::health::Health;
use turnpike_daemon::tasks::Tasks;

use crate::http::eventually;

fn task(health: &Health, index: usize) -> Value {
    health.healthy().body["tasks"][index].clone()
}

#[tokio::test]
async fn a_panic_makes_the_process_unhealthy_and_names_the_task() {
    let health = Health::new("0");
    let tasks = Tasks::new(health.clone());
    tasks.spawn("sound", |_| pending());
    tasks.spawn("sweeper", |_| async {
        tokio::task::yield_now().await;
        let nothing: Option<u8> = std::hint::black_box(None);
        let _ = nothing.expect("there was something to sweep");
    });
    eventually("unhealthy", async || !health.healthy().good).await;
    assert_eq!(
        task(&health, 1),
        json!({ "name": "sweeper", "state": "broken", "reason": "panicked: there was something to sweep" })
    );
    assert_eq!(task(&health, 0), json!({ "name": "sound", "state": "running" }));
    assert!(health.ready().good, "whether users can be served is for the checks to say");
}

#[tokio::test]
async fn a_task_that_ends_by_itself_is_broken() {
    let health = Health::new("0");
    Tasks::new(health.clone()).spawn("short", |_| async {});
    eventually("unhealthy", async || !health.healthy().good).await;
    assert_eq!(task(&health, 0)["reason"], "ended although nobody stopped it");
}

#[tokio::test]
async fn a_task_that_was_stopped_is_finished() {
    let health = Health::new("0");
    let tasks = Tasks::new(health.clone());
    tasks.spawn("worker", |mut stop| async move { stop.requested().await });
    assert_eq!(task(&health, 0)["state"], "running");
    tasks.stop();
    eventually("finished", async || task(&health, 0)["state"] == "finished").await;
    assert!(health.healthy().good);
}

#[test]
fn a_vital_check_decides_about_health_and_another_does_not() {
    let health = Health::new("0");
    let (vital, other) = (health.vital_check("cluster"), health.check("probe"));
    assert!(!health.healthy().good, "not before it has passed");
    vital.pass();
    assert!(health.healthy().good && !health.ready().good);
    other.pass();
    vital.fail("no master answers");
    assert_eq!(health.healthy().body["checks"][0]["reason"], "no master answers");
    assert!(!health.healthy().good && !health.ready().good);
}
