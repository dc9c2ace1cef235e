//! Profiles against the real binary: what holds, and that everything is accounted for.

use turnpike_lab::{Directory, Node};

use crate::program::{run, run_named};

const NOTHING_WRONG: &str = "objectives = ['lost=0', 'doubled=0', 'disordered=0', 'altered=0', 'resyncs=0', 'unanswered=0', 'errors=0']\n";

#[test]
fn chat_rooms_lose_nothing() {
    let node = Node::start(&[]).unwrap();
    for transport in ["socketio", "websocket"] {
        let profile = format!(
            "users = 20\nrun_time_s = 2\n{NOTHING_WRONG}[rooms]\nmembers = 5\n[messages]\nevery_ms = 200\n"
        );
        let run = run(&node.url(), &profile, &["--transport", transport]);
        run.assert_held();
        assert_eq!((run.count("connect"), run.count("join")), (20, 20), "{transport}");
        let sent = run.account("sent");
        assert_eq!(sent, 20 * 10, "{transport}: whatever the server does, it was due");
        assert_eq!((run.account("acknowledged"), run.count("send")), (sent, sent));
        assert_eq!((run.account("delivered"), run.count("delivery")), (sent * 5, sent * 5));
        assert!(run.page.contains("<svg"), "{}", run.page);
    }
}

#[test]
fn users_that_are_cut_off_get_what_they_missed() {
    let node = Node::start(&[]).unwrap();
    for transport in ["socketio", "websocket"] {
        let profile = format!(
            "users = 12\nrun_time_s = 4\nlate_ms = 10000\n{NOTHING_WRONG}[rooms]\nmembers = 4\n[messages]\nevery_ms = 100\n\
             [cuts]\nevery_s = 2\noffline_ms = 300\njitter_ms = 100\n"
        );
        let run = run(&node.url(), &profile, &["--transport", transport]);
        run.assert_held();
        // The last of them is due a sixth of a second before the end, when nobody is cut any more.
        let recovered = run.count("recovery");
        assert!((20..=24).contains(&recovered), "{transport}: each was cut twice\n{}", run.text);
        assert_eq!(run.account("delivered"), run.account("sent") * 4, "{transport}");
        assert!(run.count("delivery") < run.account("delivered"), "some came by recovery");
    }
}

#[test]
fn devices_that_were_off_get_what_they_have_not_confirmed() {
    let node = Node::start(&[]).unwrap();
    for transport in ["socketio", "websocket"] {
        let profile = format!(
            "users = 12\nrun_time_s = 4\nlate_ms = 10000\n{NOTHING_WRONG}[rooms]\nmembers = 2\ndirect = true\n[messages]\n\
             every_ms = 100\n[cuts]\nevery_s = 2\noffline_ms = 500\njitter_ms = 100\n"
        );
        let run = run(&node.url(), &profile, &["--transport", transport]);
        run.assert_held();
        let [sent, delivered, repeated] = ["sent", "delivered", "repeated"].map(|name| run.account(name));
        assert_eq!(delivered - repeated, sent * 2, "{transport}: to both devices\n{}", run.text);
        assert!(run.count("receipt") > 24, "{transport}:\n{}", run.text);
        assert_eq!(run.count("join"), 0, "nobody joins what is theirs");
        assert!(run.count("recovery") >= 20, "{transport}: each was off twice\n{}", run.text);
        assert!(run.count("delivery") < delivered, "some waited for their device");
    }
}

#[test]
fn visitors_come_and_go() {
    let node = Node::start(&[]).unwrap();
    let profile = format!(
        "users = 10\nrun_time_s = 2\n{NOTHING_WRONG}[rooms]\nmembers = 5\npresence = true\n[visits]\nstay_ms = 50\naway_ms = 50\n"
    );
    let storm = run(&node.url(), &profile, &[]);
    storm.assert_held();
    assert!(storm.count("connect") > 30, "{}", storm.text);
    let churn = run(&node.url(), &format!("{profile}keep_connection = true\n"), &[]);
    churn.assert_held();
    assert_eq!(churn.count("connect"), 10, "they keep their connections");
    assert!(churn.count("join") > 30 && churn.count("leave") > 30, "{}", churn.text);
}

#[test]
fn backends_and_long_polling_are_goose_requests() {
    let node = Node::start(&[]).unwrap();
    let run = run_named(
        &node.url(),
        "http-api",
        &["--users", "4", "--run-time", "2s", "--no-profile-objectives", "-o", "errors=0"],
    );
    run.assert_held();
    for measure in ["publish", "history", "presence", "poll"] {
        assert!(run.count(measure) >= 8, "{measure}:\n{}", run.text);
    }
}

#[test]
fn goose_says_the_same() {
    let node = Node::start(&[]).unwrap();
    let directory = Directory::new("goose").unwrap();
    let file = directory.path().join("goose.json");
    let profile = format!(
        "users = 10\nrun_time_s = 3\n{NOTHING_WRONG}[rooms]\nmembers = 5\n[messages]\nevery_ms = 200\n[typing]\nevery_ms = 500\n\
         [api]\nusers = 2\nevery_ms = 500\n"
    );
    let run = run(&node.url(), &profile, &["--goose-report-file", file.to_str().unwrap()]);
    run.assert_held();
    let goose: serde_json::Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    let rows = goose["raw_request_metrics"].as_array().unwrap_or_else(|| panic!("{goose}"));
    for name in ["connect", "join", "send", "typing", "publish", "history", "presence"] {
        let row = rows.iter().find(|row| row["name"] == name).unwrap_or_else(|| panic!("no {name}: {goose}"));
        assert_eq!(row["number_of_requests"].as_u64(), Some(run.count(name)), "{name}: {row}\n{}", run.text);
    }
    assert_eq!(run.count("send"), 150, "{}", run.text);
}

#[test]
fn idle_users_stay_and_type() {
    let node = Node::start(&[("HEARTBEAT_INTERVAL", "1000")]).unwrap();
    let profile = format!(
        "users = 10\nrun_time_s = 3\n{NOTHING_WRONG}[rooms]\nmembers = 0\n[typing]\nevery_ms = 500\n"
    );
    let run = run(&node.url(), &profile, &[]);
    run.assert_held();
    assert_eq!((run.count("connect"), run.count("typing")), (10, 60), "{}", run.text);
}

#[test]
fn a_server_that_stands_still_has_not_answered() {
    let node = Node::start(&[]).unwrap();
    let host = node.url();
    let freezer = std::thread::spawn(move || {
        std::thread::sleep(std::time::Duration::from_secs(2));
        node.freeze().unwrap();
        node
    });
    let profile =
        "users = 4\nrun_time_s = 4\nsettle_s = 1\n[rooms]\nmembers = 2\n[messages]\nevery_ms = 100\n";
    let run = run(&host, profile, &["-o", "unanswered=0"]);
    let node = freezer.join().unwrap();
    node.thaw().unwrap();
    assert_eq!(run.code, 1, "{}", run.text);
    assert!(run.account("unanswered") > 20, "the load went on all the same:\n{}", run.text);
}
