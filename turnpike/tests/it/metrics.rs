use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::polling::Client;
use crate::process::{Directory, System, get, run, stdout};

const BEGIN: &str =
    "<!-- The table is made from a running system: UPDATE_DOCS=1 cargo test -p turnpike -->\n";
const END: &str = "<!-- end of the table -->";

#[derive(Default)]
struct Metric {
    about: String,
    kind: String,
    labels: Vec<String>,
}

fn metrics(text: &str) -> BTreeMap<String, Metric> {
    let mut metrics: BTreeMap<String, Metric> = BTreeMap::new();
    for line in text.lines() {
        if let Some((name, about)) = line.strip_prefix("# HELP ").and_then(|rest| rest.split_once(' ')) {
            metrics.entry(name.into()).or_default().about = about.into();
        } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' '))
        {
            metrics.entry(name.into()).or_default().kind = kind.into();
        } else if let Some((name, labels)) = line.split_once('{') {
            let labels = labels.rsplit_once('}').unwrap().0;
            // The buckets of a histogram are told apart by a label that is no label of ours.
            let names = labels.split("\",").map(|label| label.split_once('=').unwrap().0);
            let names = names.filter(|name| *name != "le").map(str::to_owned).collect();
            let of_bucket = name.strip_suffix("_bucket").filter(|name| metrics.contains_key(*name));
            metrics.get_mut(of_bucket.unwrap_or(name)).unwrap().labels = names;
        }
    }
    metrics
}

/// A metric appears when it has something to say, so all of them are made to.
#[test]
fn the_document_names_every_metric_and_no_other() {
    let directory = Directory::new();
    let system = System::start(&directory);
    let token = stdout(run(&directory, &["token", "--user", "alice"], &[]));
    let refused = Client::enter(&system.gateway, "no token");
    assert!(refused.receive("44").contains("unauthorized"));
    let alice = Client::enter(&system.gateway, token.trim_end());
    alice.receive("40");
    alice.send(r#"420["room:join",{"room":"chat:lobby"}]"#);
    assert!(alice.receive("430").contains(r#""ok":true"#));
    alice.send(r#"421["message:send",{"room":"chat:lobby","body":"hello"}]"#);
    assert!(alice.receive("431").contains(r#""ok":true"#));

    let (_, text) = get(&system.admin, "/metrics");
    let metrics = metrics(&text);
    let mut table = String::from("| metric | type | labels | what it says |\n| --- | --- | --- | --- |\n");
    for (name, Metric { about, kind, labels }) in &metrics {
        assert!(!about.is_empty(), "{name} has nothing to say");
        let labels: Vec<_> = labels.iter().map(|label| format!("`{label}`")).collect();
        let _ = writeln!(table, "| `{name}` | {kind} | {} | {about} |", labels.join(", "));
    }

    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/metrics.md");
    let document = std::fs::read_to_string(path).unwrap();
    let (before, rest) = document.split_once(BEGIN).expect("the document has a place for the table");
    let (_, after) = rest.split_once(END).expect("the table has an end");
    let expected = format!("{before}{BEGIN}\n{table}\n{END}{after}");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(path, expected).unwrap();
    } else {
        assert!(
            document == expected,
            "docs/metrics.md differs from the system; run UPDATE_DOCS=1 cargo test -p turnpike"
        );
    }
}

#[test]
fn names_follow_the_rules() {
    let directory = Directory::new();
    let system = System::start(&directory);
    for (name, metric) in metrics(&get(&system.admin, "/metrics").1) {
        assert!(name.starts_with("turnpike_") || name.starts_with("process_"), "{name}");
        assert_eq!(metric.kind == "counter", name.ends_with("_total"), "{name} is a {}", metric.kind);
        let unbounded = ["room", "user", "stream", "sid", "address"];
        assert!(!metric.labels.iter().any(|label| unbounded.contains(&label.as_str())), "{name}");
    }
}
