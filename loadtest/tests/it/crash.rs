//! Two nodes, one of which dies: its users turn to the other, and everything is accounted for.

use turnpike_lab::{Node, shared, unique_prefix};

use crate::program::run;

fn pair() -> [Node; 2] {
    let (seeds, prefix) = (shared().seeds_text(), unique_prefix());
    ["n1", "n2"].map(|name| {
        let own = [("REDIS_NODES", &*seeds), ("TURNPIKE_REDIS_PREFIX", &*prefix), ("SERVER_ID", name)];
        Node::start(&own).unwrap()
    })
}

const NOTHING_WRONG: &str = "objectives = ['lost=0', 'doubled=0', 'disordered=0', 'altered=0', 'resyncs=0', 'unanswered=0', 'refused=0']\n";

#[test]
fn users_of_a_node_that_dies_turn_to_the_other() {
    for transport in ["socketio", "websocket"] {
        let mut nodes = pair();
        let profile = format!(
            "users = 24\nrun_time_s = 6\nlate_ms = 10000\n{NOTHING_WRONG}[rooms]\nmembers = 4\n[messages]\nevery_ms = 200\n\
             [cuts]\nevery_s = 3\noffline_ms = 300\n[returns]\nafter_ms = 100\njitter_ms = 200\n"
        );
        let (second, first) = (nodes[1].url(), nodes[0].id().to_string());
        let arguments = ["--transport", transport, "--host", &second, "--kill", &first];
        let run = run(&nodes[0].url(), &profile, &arguments);
        run.assert_held();
        assert!(!nodes[0].is_running() && nodes[1].is_running());
        assert_eq!(run.account("delivered"), run.account("sent") * 4, "{transport}:\n{}", run.text);
        let failures = run.report["failures"].as_array().unwrap();
        let lost: Vec<_> = failures.iter().filter(|failure| failure["what"] == "connection").collect();
        let lost: u64 = lost.iter().map(|failure| failure["count"].as_u64().unwrap()).sum();
        assert!((4..=20).contains(&lost), "about half of the users were there:\n{}", run.text);
        assert!(
            failures.iter().all(|failure| failure["what"] != "connect"),
            "nobody was sent away:\n{}",
            run.text
        );
        assert!(run.count("recovery") >= 48, "{transport}: all were cut twice:\n{}", run.text);
    }
}
