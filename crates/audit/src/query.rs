//! Which records somebody asks for. Pure.
//!
//! A person is found by the value beside the record. Once that is erased, the record is still there, and nobody's.

use serde_json::{Map, Value};

use crate::time::Time;

/// All conditions that are set must hold.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Filter {
    /// Who did it, or to whom it was done.
    pub user: Option<String>,
    /// Where it came from, or an address that it was done to.
    pub address: Option<String>,
    pub room: Option<String>,
    pub stream: Option<String>,
    pub connection: Option<String>,
    pub class: Option<String>,
    pub activity: Option<String>,
    pub outcome: Option<String>,
    pub since: Option<Time>,
    /// Not included.
    pub until: Option<Time>,
}

impl Filter {
    pub fn finds(&self, record: &Map<String, Value>) -> bool {
        let is = |wanted: &Option<String>, found: Option<&str>| {
            wanted.as_deref().is_none_or(|wanted| found == Some(wanted))
        };
        let object = |kinds: &[&str]| {
            at(record, &["object", "kind"]).filter(|kind| kinds.contains(kind))?;
            personal(record, "object.id")
        };
        let either = |wanted: &Option<String>, one: Option<&str>, other: Option<&str>| {
            wanted.as_deref().is_none_or(|wanted| one == Some(wanted) || other == Some(wanted))
        };
        let time = || at(record, &["time"]).and_then(|time| time.parse::<Time>().ok());
        is(&self.class, at(record, &["class"]))
            && is(&self.activity, at(record, &["activity"]))
            && is(&self.outcome, at(record, &["outcome"]))
            && is(&self.connection, at(record, &["connection", "id"]))
            && is(&self.room, object(&["room"]))
            && is(&self.stream, object(&["stream"]))
            && either(&self.user, personal(record, "actor.user"), object(&["user"]))
            && either(&self.address, personal(record, "connection.address"), object(&["address"]))
            && self.since.is_none_or(|since| time().is_some_and(|time| time >= since))
            && self.until.is_none_or(|until| time().is_some_and(|time| time < until))
    }
}

fn at<'a>(record: &'a Map<String, Value>, path: &[&str]) -> Option<&'a str> {
    let (first, rest) = path.split_first()?;
    rest.iter().try_fold(record.get(*first)?, |value, name| value.get(name))?.as_str()
}

/// The value that lies beside the record, if it was not erased.
pub(crate) fn personal<'a>(record: &'a Map<String, Value>, field: &str) -> Option<&'a str> {
    record.get("beside")?.get(field)?.get(1)?.as_str()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_condition_narrows() {
        let record = json!({
            "activity": "placed", "class": "ban", "outcome": "success", "time": "2026-11-21T10:00:00.000Z",
            "actor": { "user": "~" }, "connection": { "address": "~", "id": "c-1" }, "object": { "id": "~", "kind": "user" },
            "beside": { "actor.user": ["s", "root"], "connection.address": ["s", "192.0.2.7"], "object.id": ["s", "mallory"] },
        });
        let record = record.as_object().unwrap();
        let some = |text: &str| Some(text.to_owned());
        let none = Filter::default();
        for (filter, found) in [
            (none.clone(), true),
            (Filter { user: some("root"), ..none.clone() }, true),
            (Filter { user: some("mallory"), ..none.clone() }, true),
            (Filter { user: some("alice"), ..none.clone() }, false),
            (Filter { address: some("192.0.2.7"), ..none.clone() }, true),
            (Filter { address: some("192.0.2.8"), ..none.clone() }, false),
            (Filter { room: some("mallory"), ..none.clone() }, false),
            (Filter { class: some("ban"), outcome: some("success"), ..none.clone() }, true),
            (Filter { class: some("ban"), outcome: some("failure"), ..none.clone() }, false),
            (Filter { connection: some("c-1"), activity: some("placed"), ..none.clone() }, true),
            (Filter { since: "2026-11-21T10:00Z".parse().ok(), ..none.clone() }, true),
            (Filter { until: "2026-11-21T10:00Z".parse().ok(), ..none.clone() }, false),
            (Filter { since: "2026-11-22".parse().ok(), ..none }, false),
        ] {
            assert_eq!(filter.finds(record), found, "{filter:?}");
        }
    }
}
