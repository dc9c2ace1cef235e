//! Live video against the real binary: whole pictures on real paths, and a server that stands still.

use turnpike_lab::Node;

use crate::program::run;

const VIDEO: &str =
    "hatch_rate = 5\nrun_time_s = 4\nsettle_s = 2\n[video]\nstreams = 2\nviewers = 4\nkbps = [150, 300]\n";

/// What a relay takes for a path that carries less is left out of it, and so is a picture for whoever is kept from reading.
#[test]
fn alone_viewers_are_shown_what_is_published() {
    let node = Node::start(&[]).unwrap();
    let profile = format!("objectives = ['frames_lost=0', 'errors=0']\n{VIDEO}");
    let run = run(&node.url(), &profile, &[]);
    run.assert_held();
    for (measure, count) in [("whip", 2), ("whep", 4), ("media", 6), ("first-frame", 4)] {
        assert_eq!(run.count(measure), count, "{measure}:\n{}", run.text);
    }
    let [published, shown] = ["frames_published", "frames"].map(|name| run.account(name));
    assert!(published >= 2 * 30 * 4, "{}", run.text);
    assert_eq!(shown, run.count("frame") + 4, "{}", run.text);
    assert!(shown >= 4 * 30 * 4, "each viewer was shown four seconds at least:\n{}", run.text);
}

#[test]
fn publishers_begin_one_after_the_other() {
    let node = Node::start(&[]).unwrap();
    let profile = format!("objectives = ['errors=0']\n{VIDEO}step_s = 2\n");
    let run = run(&node.url(), &profile, &[]);
    run.assert_held();
    assert_eq!((run.count("whip"), run.count("first-frame")), (2, 4), "{}", run.text);
}

#[test]
fn a_picture_that_stands_is_a_freeze() {
    let node = Node::start(&[]).unwrap();
    let host = node.url();
    // However long it takes until all are there, one of these is while they watch.
    let freezer = std::thread::spawn(move || {
        for _ in 0..3 {
            std::thread::sleep(std::time::Duration::from_secs(4));
            node.freeze().unwrap();
            std::thread::sleep(std::time::Duration::from_millis(700));
            node.thaw().unwrap();
        }
        node
    });
    let profile = VIDEO.replace("run_time_s = 4", "run_time_s = 10");
    let run = run(&host, &profile, &["-o", "freezes=0"]);
    drop(freezer.join().unwrap());
    assert_eq!(run.code, 1, "{}", run.text);
    assert!(run.count("freeze") >= 4, "every viewer saw it:\n{}", run.text);
}
