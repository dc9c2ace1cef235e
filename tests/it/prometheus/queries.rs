//! What the dashboards and the alerts ask for, and which series they name.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use super::server::Prometheus;
use crate::harness::home;

/// An expression, and where it stands.
pub struct Query {
    pub place: String,
    pub expression: String,
}

pub fn dashboards() -> Vec<(PathBuf, Value)> {
    let folder = home().join("../deploy/grafana/dashboards");
    let mut files: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let read = |file: PathBuf| {
        let text = fs::read_to_string(&file).unwrap();
        let board = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        (file, board)
    };
    files.into_iter().map(read).collect()
}

/// Of all panels, as Grafana would ask with everything selected.
pub fn of_dashboards() -> Vec<Query> {
    let mut queries = Vec::new();
    for (_, board) in dashboards() {
        for panel in board["panels"].as_array().unwrap() {
            for target in panel["targets"].as_array().into_iter().flatten() {
                let mut expression = target["expr"].as_str().unwrap().to_owned();
                for (variable, value) in [("$__rate_interval", "15s"), ("$job", ".*"), ("$instance", ".*")] {
                    expression = expression.replace(variable, value);
                }
                assert!(!expression.contains('$'), "a variable that is not known: {expression}");
                let place = format!("{} / {} / {}", board["title"], panel["title"], target["refId"]);
                queries.push(Query { place, expression });
            }
        }
    }
    queries
}

/// Of all alerts, without what they are compared with: that there is something to compare is what matters.
pub fn of_alerts(prometheus: &Prometheus) -> Vec<Query> {
    let alerts = prometheus.alerts();
    let query = |rule: &Value| Query {
        place: rule["name"].as_str().unwrap().to_owned(),
        expression: uncompared(rule["query"].as_str().unwrap()),
    };
    alerts.iter().map(query).collect()
}

impl Query {
    /// What is wrong with it: it names no series that is there, or gives nothing that is a number.
    pub fn fault(&self, prometheus: &Prometheus) -> Option<String> {
        for selector in selectors(&self.expression) {
            let named = prometheus.ask(&format!("count({selector})"));
            if !named.as_ref().is_ok_and(|samples| !samples.is_empty()) {
                return Some(format!("{}: no series is {selector}: {named:?}", self.place));
            }
        }
        match prometheus.ask(&self.expression) {
            Err(error) => Some(format!("{}: {error} in {}", self.place, self.expression)),
            Ok(samples) if !samples.iter().any(|(_, value)| value.is_finite()) => {
                Some(format!("{}: no number comes of {}", self.place, self.expression))
            }
            Ok(_) => None,
        }
    }
}

/// The expression without comparisons with numbers.
fn uncompared(expression: &str) -> String {
    let mut out: Vec<&str> = Vec::new();
    let mut words = expression.split(' ').peekable();
    while let Some(word) = words.next() {
        let number = |word: &&str| word.trim_end_matches(')').parse::<f64>().is_ok();
        if ["==", "<", ">"].contains(&word)
            && let Some(number) = words.next_if(number)
        {
            let closing = &number[number.trim_end_matches(')').len()..];
            if !closing.is_empty() {
                out.push(closing);
            }
            continue;
        }
        out.push(word);
    }
    out.join(" ")
}

/// The series that an expression names: ours and those of processes.
fn selectors(expression: &str) -> Vec<String> {
    let is_name = |character: char| character.is_ascii_alphanumeric() || "_:".contains(character);
    let (mut found, mut rest) = (Vec::new(), expression);
    while let Some(character) = rest.chars().next() {
        if character == '"' {
            rest = &rest[1 + rest[1..].find('"').map_or(rest.len() - 1, |end| end + 1)..];
        } else if is_name(character) {
            let end = rest.find(|character| !is_name(character)).unwrap_or(rest.len());
            let (name, behind) = rest.split_at(end);
            rest = behind;
            if name == "up" || name.starts_with("turnpike") || name.starts_with("process_") {
                let labels =
                    if behind.starts_with('{') { behind.find('}').map_or(0, |end| end + 1) } else { 0 };
                found.push(format!("{name}{}", &behind[..labels]));
                rest = &behind[labels..];
            }
        } else {
            rest = &rest[character.len_utf8()..];
        }
    }
    found
}

#[test]
fn series_are_found_in_expressions() {
    let expression = r#"sum by (job) (rate(turnpike_a_total{job=~"up|turnpike-.*",reason!="x"}[5m])) / (turnpike:b:ratio5m > 0) or up == 0"#;
    assert_eq!(
        selectors(expression),
        [r#"turnpike_a_total{job=~"up|turnpike-.*",reason!="x"}"#, "turnpike:b:ratio5m", "up"]
    );
    assert_eq!(
        uncompared(expression),
        r#"sum by (job) (rate(turnpike_a_total{job=~"up|turnpike-.*",reason!="x"}[5m])) / (turnpike:b:ratio5m ) or up"#
    );
}
