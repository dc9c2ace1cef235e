//! What a renewal is answered with.

use std::time::Duration;

use fred::types::Value;

use super::access::incarnation;
use super::census::News;
use super::reply;
use crate::Incarnation;

#[derive(Debug, PartialEq)]
pub(crate) struct Standing {
    pub(crate) verdict: Verdict,
    pub(crate) news: News,
    /// Not renewed in time, and not given up yet.
    pub(crate) lapsed: Vec<Incarnation>,
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
        let [verdict, place, is_whole, changes, lapsed, graves, soonest] = reply::array(answer)? else {
            return None;
        };
        let verdict = match reply::text(verdict)? {
            "held" => Verdict::Held,
            "lost" => Verdict::Lost,
            "unknown" => Verdict::Unknown,
            _ => return None,
        };
        let graves = reply::array(graves)?.chunks(3).map(grave).collect::<Option<_>>()?;
        Some(Self {
            verdict,
            news: News::parse(place, is_whole, changes)?,
            lapsed: incarnations(lapsed)?,
            graves,
            soonest: Duration::from_millis(reply::number(soonest)?),
        })
    }
}

pub(crate) fn incarnations(words: &Value) -> Option<Vec<Incarnation>> {
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
    use crate::redis::census::Census;

    fn words(words: &[&str]) -> Value {
        Value::Array(words.iter().map(|word| Value::from(*word)).collect())
    }

    #[test]
    fn an_answer_is_read() {
        let node = r#"{"incarnation":10,"name":"a","address":null,"version":"1","draining":false}"#;
        let answer = Value::Array(vec![
            "held".into(),
            "1700000000000.3".into(),
            1.into(),
            words(&["000000000000000a", node, "000000000000000c", "not of this release"]),
            words(&["000000000000000c"]),
            words(&["000000000000000b", "1", "1500"]),
            "700".into(),
        ]);
        let standing = Standing::parse(&answer).unwrap();
        assert_eq!((standing.verdict, &*standing.lapsed), (Verdict::Held, &[Incarnation(12)][..]));
        let grave = Grave { incarnation: Incarnation(11), cleared: true, age: Duration::from_millis(1_500) };
        assert_eq!(standing.graves, [grave]);
        assert_eq!(standing.soonest, Duration::from_millis(700));
        let mut census = Census::default();
        census.hear(standing.news);
        assert_eq!(census.everybody(), [Incarnation(10), Incarnation(12)]);
    }

    #[test]
    fn nonsense_is_refused() {
        for answer in [Value::Null, words(&["held"]), words(&["held", "1", "2", "3", "4", "5"])] {
            assert_eq!(Standing::parse(&answer), None);
        }
    }
}
