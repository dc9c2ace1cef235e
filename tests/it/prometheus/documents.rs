//! The files that ship, against one another: each alert has its place in the runbook and its unit test, and dashboards are of
//! the form that Grafana reads.

use std::collections::BTreeSet;
use std::fs;

use serde_json::Value;

use super::queries::dashboards;
use super::server::{promtool, shipped};
use crate::harness::home;

/// Each section of the runbook answers these.
const QUESTIONS: [&str; 4] = ["**Means:**", "**Look:**", "**Do:**", "**Over when:**"];

fn alerts() -> BTreeSet<String> {
    let text = fs::read_to_string(shipped().join("turnpike-alerts.yml")).unwrap();
    text.lines().filter_map(|line| line.trim().strip_prefix("- alert: ").map(str::to_owned)).collect()
}

#[test]
fn rules_are_well_formed_and_each_alert_has_its_test() {
    promtool(&["check", "rules", "turnpike-alerts.yml", "turnpike-recording.yml"]);
    promtool(&["test", "rules", "turnpike-alerts-test.yml"]);
    let text = fs::read_to_string(shipped().join("turnpike-alerts-test.yml")).unwrap();
    let tested: BTreeSet<String> =
        text.lines().filter_map(|line| line.strip_prefix("  - name: ").map(str::to_owned)).collect();
    assert_eq!(alerts(), tested);
    assert!(alerts().len() > 30);
}

#[test]
fn each_alert_says_what_it_is_and_where_to_read_on() {
    let text = fs::read_to_string(shipped().join("turnpike-alerts.yml")).unwrap();
    for rule in text.split("- alert: ").skip(1) {
        let name = rule.lines().next().unwrap();
        let anchor = format!("runbook_url: docs/runbook.md#{}\n", name.to_lowercase());
        for part in ["severity: ", "summary: ", "description: ", &anchor] {
            assert!(rule.contains(part), "{name} has no {part}");
        }
        let severity = rule.split("severity: ").nth(1).unwrap().split(' ').next().unwrap();
        assert!(["critical", "warning"].contains(&severity), "{name}: {severity}");
    }
}

#[test]
fn each_alert_has_its_section_in_the_runbook_and_none_is_left_over() {
    let text = fs::read_to_string(home().join("../docs/runbook.md")).unwrap();
    let sections: Vec<&str> = text.split("\n### ").skip(1).collect();
    let named: BTreeSet<String> =
        sections.iter().map(|section| section.lines().next().unwrap().to_owned()).collect();
    assert_eq!(alerts(), named);
    assert_eq!(sections.len(), named.len(), "a section comes twice");
    for section in sections {
        for question in QUESTIONS {
            assert!(section.contains(question), "no {question} in {section}");
        }
    }
}

#[test]
fn dashboards_are_of_the_form_that_grafana_reads() {
    let boards = dashboards();
    assert_eq!(boards.len(), 5);
    let mut uids = BTreeSet::new();
    for (file, board) in &boards {
        let place = file.display();
        assert!(uids.insert(board["uid"].as_str().unwrap()), "{place}: its uid is another's");
        assert!(board["schemaVersion"].as_u64().unwrap() >= 36 && board["id"].is_null(), "{place}");
        let variables: Vec<&str> = board["templating"]["list"]
            .as_array()
            .unwrap()
            .iter()
            .filter_map(|v| v["name"].as_str())
            .collect();
        assert_eq!(variables, ["datasource", "job", "instance"], "{place}");
        let panels = board["panels"].as_array().unwrap();
        let ids: BTreeSet<u64> = panels.iter().map(|panel| panel["id"].as_u64().unwrap()).collect();
        assert_eq!(ids.len(), panels.len(), "{place}: two panels have one id");
        for (index, panel) in panels.iter().enumerate() {
            let title = panel["title"].as_str().unwrap();
            assert!(
                ["row", "stat", "timeseries"].contains(&panel["type"].as_str().unwrap()),
                "{place}: {title}"
            );
            assert!(title.len() > 1, "{place}: a panel without a title");
            for other in &panels[..index] {
                assert!(
                    !overlap(&panel["gridPos"], &other["gridPos"]),
                    "{place}: {title} lies on {}",
                    other["title"]
                );
            }
            let targets = panel["targets"].as_array().map_or(&[][..], Vec::as_slice);
            assert_eq!(targets.is_empty(), panel["type"] == "row", "{place}: {title}");
            for target in targets {
                assert_eq!(target["datasource"]["uid"], "${datasource}", "{place}: {title}");
                let expression = target["expr"].as_str().unwrap();
                let is_of_all = expression.starts_with("count(ALERTS");
                assert!(
                    is_of_all || expression.contains(r#"{job=~"$job",instance=~"$instance""#),
                    "{place}: {title}"
                );
            }
        }
    }
}

fn overlap(one: &Value, other: &Value) -> bool {
    let side = |position: &Value, from: &str, length: &str| {
        let from = position[from].as_u64().unwrap();
        from..from + position[length].as_u64().unwrap()
    };
    let meet = |from: &str, length: &str| {
        let (one, other) = (side(one, from, length), side(other, from, length));
        one.start < other.end && other.start < one.end
    };
    meet("x", "w") && meet("y", "h")
}
