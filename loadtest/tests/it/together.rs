//! One run in several processes: the same counts, and the same faults found.

use turnpike_lab::Node;

use crate::{
    breaker::{Breaker, Fault},
    program::run,
};

const NOTHING_WRONG: &str =
    "objectives = ['lost=0', 'doubled=0', 'disordered=0', 'altered=0', 'unanswered=0', 'errors=0']\n";

#[test]
fn processes_share_the_users_of_every_room() {
    let node = Node::start(&[]).unwrap();
    for members in [5, 0] {
        let profile = format!(
            "users = 20\nrun_time_s = 2\n{NOTHING_WRONG}[rooms]\nmembers = {members}\n[messages]\nevery_ms = 200\n\
             [api]\nusers = 3\nevery_ms = 500\n"
        );
        let run = run(&node.url(), &profile, &["--processes", "3"]);
        run.assert_held();
        assert_eq!(
            (run.count("connect"), run.count("join"), run.count("publish")),
            (20, 20, 12),
            "{}",
            run.text
        );
        let sent = run.account("sent");
        assert_eq!((sent, run.account("acknowledged"), run.count("send")), (200, 200, 200), "{}", run.text);
        let each = if members == 0 { 20 } else { members };
        assert_eq!(
            (run.account("delivered"), run.count("delivery")),
            (sent * each, sent * each),
            "{}",
            run.text
        );
        let most =
            run.report["timeline"].as_array().unwrap().iter().map(|second| second["connected"].as_u64());
        assert_eq!(most.max().flatten(), Some(20), "{}", run.text);
    }
}

#[test]
fn what_is_lost_between_processes_is_found() {
    let node = Node::start(&[]).unwrap();
    let breaker = Breaker::before(node.gateway, Fault::Lose);
    let profile =
        "users = 40\nrun_time_s = 5\n[rooms]\nmembers = 0\n[messages]\nevery_ms = 400\nbody_bytes = 64\n";
    let run = run(&format!("http://{}", breaker.address), profile, &["--processes", "2", "-o", "lost=0"]);
    let broken = breaker.broken();
    assert!(broken >= 1, "{broken}");
    assert_eq!((run.account("lost"), run.code), (broken, 1), "{}", run.text);
}
