//! Who is there, kept level by what the store says has changed. So what it costs to know all nodes does not grow with them.
//! No clock, no Redis.

use std::collections::BTreeMap;

use fred::types::Value;

use super::access::incarnation;
use super::reply;
use crate::{Incarnation, Node};

/// All nodes that have a lease, or may still get theirs back, as far as they are known.
#[derive(Debug, Default)]
pub(crate) struct Census {
    /// Up to where the changes are known.
    place: String,
    /// None: of another release, perhaps. It is there, but not seen by this one.
    known: BTreeMap<Incarnation, Option<Node>>,
}

/// What has changed behind the place that was asked for.
#[derive(Debug, PartialEq)]
pub(crate) struct News {
    place: String,
    is_whole: bool,
    /// None: it is no more.
    changes: Vec<(Incarnation, Option<Words>)>,
}

#[derive(Debug, PartialEq)]
struct Words(Option<Node>);

impl Census {
    pub(crate) fn place(&self) -> &str {
        &self.place
    }

    /// True: something has changed.
    pub(crate) fn hear(&mut self, news: News) -> bool {
        let News { place, is_whole, changes } = news;
        self.place = place;
        if is_whole {
            self.known.clear();
        }
        let changed = is_whole || !changes.is_empty();
        for (incarnation, words) in changes {
            match words {
                Some(Words(node)) => self.known.insert(incarnation, node),
                None => self.known.remove(&incarnation),
            };
        }
        changed
    }

    /// In the order of their incarnations, without those whose lease has lapsed.
    pub(crate) fn living(&self, lapsed: &[Incarnation]) -> Vec<Node> {
        let living = self.known.iter().filter(|(incarnation, _)| !lapsed.contains(incarnation));
        living.filter_map(|(_, node)| node.clone()).collect()
    }

    pub(crate) fn len(&self) -> usize {
        self.known.len()
    }

    /// Everybody, also those whose lease has lapsed.
    pub(crate) fn everybody(&self) -> Vec<Incarnation> {
        self.known.keys().copied().collect()
    }
}

impl News {
    /// From the three values by which functions say it.
    pub(crate) fn parse(place: &Value, is_whole: &Value, changes: &Value) -> Option<Self> {
        let changes = reply::array(changes)?.chunks(2).map(|pair| {
            let [one, words] = pair else { return None };
            let words = reply::text(words)?;
            let words = (!words.is_empty()).then(|| Words(serde_json::from_str(words).ok()));
            Some((incarnation(reply::text(one)?)?, words))
        });
        Some(Self {
            place: reply::text(place)?.to_owned(),
            is_whole: reply::number(is_whole)? == 1,
            changes: changes.collect::<Option<_>>()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(words: &[&str]) -> Value {
        Value::Array(words.iter().map(|word| Value::from(*word)).collect())
    }

    fn node(number: u64) -> String {
        format!(
            r#"{{"incarnation":{number},"name":"n{number}","address":null,"version":"1","draining":false}}"#
        )
    }

    fn name(number: u64) -> String {
        Incarnation(number).to_string()
    }

    fn news(place: &str, is_whole: i64, changes: &[&str]) -> News {
        News::parse(&place.into(), &is_whole.into(), &words(changes)).unwrap()
    }

    fn living(census: &Census, lapsed: &[u64]) -> Vec<u64> {
        let lapsed: Vec<Incarnation> = lapsed.iter().copied().map(Incarnation).collect();
        census.living(&lapsed).iter().map(|node| node.incarnation.0).collect()
    }

    #[test]
    fn changes_are_kept_and_the_whole_takes_the_place_of_all() {
        let mut census = Census::default();
        assert!(census.hear(news("1.2", 1, &[&name(2), &node(2), &name(1), &node(1), &name(3), "-"])));
        assert_eq!(living(&census, &[]), [1, 2], "who says something that is not understood is not seen");
        assert_eq!(census.everybody().len(), 3, "and is there all the same");
        assert!(!census.hear(news("1.2", 0, &[])));
        assert!(census.hear(news("1.4", 0, &[&name(4), &node(4), &name(2), ""])));
        assert_eq!((living(&census, &[]), census.place()), (vec![1, 4], "1.4"));
        assert_eq!(living(&census, &[4]), [1]);
        assert!(census.hear(news("7.1", 1, &[&name(4), &node(4)])));
        assert_eq!(living(&census, &[]), [4]);
    }

    #[test]
    fn nonsense_is_refused() {
        for changes in [&["x"][..], &["x", "{}"], &["0000000000000001"]] {
            assert_eq!(News::parse(&"1.1".into(), &0.into(), &words(changes)), None);
        }
        assert_eq!(News::parse(&Value::Null, &0.into(), &words(&[])), None);
    }
}
