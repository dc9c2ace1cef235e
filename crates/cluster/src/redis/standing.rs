//! What a renewal is answered with.

use std::time::Duration;

use fred::types::Value;

use super::access::incarnation;
use super::reply;
use crate::{Incarnation, Node};

#[derive(Debug, PartialEq)]
pub(crate) struct Standing {
    pub(crate) verdict: Verdict,
    /// Changes with what nodes say of themselves.
    pub(crate) generation: String,
    pub(crate) living: Vec<Incarnation>,
    /// Not renewed in time, and not given up yet.
    pub(crate) lapsed: Vec<Incarnation>,
    /// What they say, unless the asker knows it.
    pub(crate) nodes: Vec<Node>,
    pub(crate) graves: Vec<Grave>,
    /// When somebody's lease will have lapsed, or be given up, if it is not renewed.
    pub(crate) soonest: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Held,
    /// It lapsed, and others have begun to clear away.
    Lost,
    /// The store does not know this node, as after a failover that forgot it. It may say again who it is.
    Unknown,
}

/// Somebody who is dead, as long as there is anything left of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Grave {
    pub(crate) incarnation: Incarnation,
    /// Only its sessions are left.
    pub(crate) cleared: bool,
    /// By the clock of the store, which stands still while no node lives.
    pub(crate) age: Duration,
}

impl Standing {
    pub(crate) fn parse(answer: &Value) -> Option<Self> {
        let [verdict, generation, living, lapsed, nodes, graves, soonest] = reply::array(answer)? else {
            return None;
        };
        let verdict = match reply::text(verdict)? {
            "held" => Verdict::Held,
            "lost" => Verdict::Lost,
            "unknown" => Verdict::Unknown,
            _ => return None,
        };
        let nodes = reply::array(nodes)?
            .chunks(2)
            // Of another release, perhaps: it is there, but not seen by this one.
            .filter_map(|pair| serde_json::from_str(reply::text(pair.get(1)?)?).ok())
            .collect();
        let graves = reply::array(graves)?.chunks(3).map(grave).collect::<Option<_>>()?;
        Some(Self {
            verdict,
            generation: reply::text(generation)?.to_owned(),
            living: incarnations(living)?,
            lapsed: incarnations(lapsed)?,
            nodes,
            graves,
            soonest: Duration::from_millis(reply::number(soonest)?),
        })
    }
}

fn incarnations(words: &Value) -> Option<Vec<Incarnation>> {
    reply::array(words)?.iter().map(|one| incarnation(reply::text(one)?)).collect()
}

fn grave(words: &[Value]) -> Option<Grave> {
    let [dead, stage, age] = words else { return None };
    Some(Grave {
        incarnation: incarnation(reply::text(dead)?)?,
        cleared: reply::number(stage)? > 0,
        age: Duration::from_millis(reply::number(age)?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(words: &[&str]) -> Value {
        Value::Array(words.iter().map(|word| Value::from(*word)).collect())
    }

    #[test]
    fn an_answer_is_read() {
        let node = r#"{"incarnation":10,"name":"a","address":null,"version":"1","draining":false}"#;
        let ten = "000000000000000a";
        let answer = Value::Array(vec![
            "held".into(),
            "3".into(),
            words(&[ten]),
            words(&["000000000000000c"]),
            words(&[ten, node, "x", "not of this release"]),
            words(&["000000000000000b", "1", "1500"]),
            "700".into(),
        ]);
        let standing = Standing::parse(&answer).unwrap();
        assert_eq!((standing.verdict, &*standing.generation), (Verdict::Held, "3"));
        assert_eq!((standing.living, standing.lapsed), (vec![Incarnation(10)], vec![Incarnation(12)]));
        assert_eq!(standing.nodes.len(), 1);
        assert_eq!(standing.nodes[0].incarnation, Incarnation(10));
        let grave = Grave { incarnation: Incarnation(11), cleared: true, age: Duration::from_millis(1_500) };
        assert_eq!(standing.graves, [grave]);
        assert_eq!(standing.soonest, Duration::from_millis(700));
    }

    #[test]
    fn nonsense_is_refused() {
        for answer in [Value::Null, words(&["held"]), words(&["held", "1", "2", "3", "4"])] {
            assert_eq!(Standing::parse(&answer), None);
        }
    }
}
