//! As much of what Redis keeps as the function library touches for nodes, names, presence and lanes. In an order that is the
//! same in every run. A command that it does not know fails the test.

use std::collections::{BTreeMap, BTreeSet};

/// Bytes, as Redis has them.
pub(super) type Text = Vec<u8>;

#[derive(Debug, Clone)]
pub(super) enum Reply {
    Nil,
    Number(i64),
    Bulk(Text),
    Many(Vec<Self>),
}

#[derive(Debug, Clone)]
enum Kept {
    Text(Text),
    Hash(BTreeMap<Text, Text>),
    Set(BTreeSet<Text>),
    Sorted(BTreeMap<Text, f64>),
}

/// All keys. To be cloned where a failover is to lose the latest.
#[derive(Debug, Clone, Default)]
pub(super) struct Keyspace {
    kept: BTreeMap<Text, (Kept, Option<u64>)>,
}

/// Where in a fake of `SCAN` the whole ends: it gives everything at once.
const WHOLE: &[u8] = b"0";

macro_rules! kept {
    ($name:ident, $name_mut:ident, $variant:ident, $type:ty) => {
        fn $name(&self, key: &[u8]) -> Option<&$type> {
            match self.kept.get(key) {
                Some((Kept::$variant(kept), _)) => Some(kept),
                None => None,
                Some((other, _)) => panic!("{} is {other:?}", String::from_utf8_lossy(key)),
            }
        }

        fn $name_mut(&mut self, key: &[u8]) -> &mut $type {
            let fresh = || (Kept::$variant(<$type>::default()), None);
            match &mut self.kept.entry(key.to_vec()).or_insert_with(fresh).0 {
                Kept::$variant(kept) => kept,
                other => panic!("{} is {other:?}", String::from_utf8_lossy(key)),
            }
        }
    };
}

impl Keyspace {
    kept!(text, text_mut, Text, Text);
    kept!(hash, hash_mut, Hash, BTreeMap<Text, Text>);
    kept!(set, set_mut, Set, BTreeSet<Text>);
    kept!(sorted, sorted_mut, Sorted, BTreeMap<Text, f64>);

    /// What a function or a node asks for, except what is no matter of keys.
    pub(super) fn command(&mut self, words: &[Text], now_ms: u64) -> Reply {
        let [name, key, args @ ..] = words else { panic!("{words:?} is no command about a key") };
        if self.kept.get(key).is_some_and(|(_, ends)| ends.is_some_and(|ends| ends <= now_ms)) {
            self.kept.remove(key);
        }
        let reply = self.perform(&String::from_utf8_lossy(name), key, args, now_ms);
        if let Some((kept, _)) = self.kept.get(key) {
            let is_empty = match kept {
                Kept::Text(_) => false,
                Kept::Hash(hash) => hash.is_empty(),
                Kept::Set(set) => set.is_empty(),
                Kept::Sorted(sorted) => sorted.is_empty(),
            };
            if is_empty {
                self.kept.remove(key);
            }
        }
        reply
    }

    fn perform(&mut self, name: &str, key: &[u8], args: &[Text], now_ms: u64) -> Reply {
        match name {
            "GET" => self.text(key).map_or(Reply::Nil, |text| Reply::Bulk(text.clone())),
            "SET" => {
                *self.text_mut(key) = args[0].clone();
                let ends = (args.len() == 3).then(|| now_ms + number(&args[2]) as u64);
                self.kept.get_mut(key).expect("it was just set").1 = ends;
                Reply::Bulk(b"OK".to_vec())
            }
            "DEL" | "UNLINK" => Reply::Number(self.kept.remove(key).is_some().into()),
            "EXISTS" => Reply::Number(self.kept.contains_key(key).into()),
            "PEXPIRE" => {
                let ends = now_ms + number(&args[0]) as u64;
                let found = self.kept.get_mut(key).map(|(_, kept)| *kept = Some(ends));
                Reply::Number(found.is_some().into())
            }
            "XLEN" => Reply::Number(0),
            "XRANGE" | "XREVRANGE" => Reply::Many(Vec::new()),
            _ if name.starts_with('H') => self.hashes(name, key, args),
            _ if name.starts_with('S') => self.sets(name, key, args),
            _ if name.starts_with('Z') => self.sorted_sets(name, key, args),
            _ => panic!("{name} is not known here"),
        }
    }

    fn hashes(&mut self, name: &str, key: &[u8], args: &[Text]) -> Reply {
        let empty = BTreeMap::new();
        let hash = self.hash(key).unwrap_or(&empty);
        let value = |field: &Text| hash.get(field).map_or(Reply::Nil, |value| Reply::Bulk(value.clone()));
        let pairs = |hash: &BTreeMap<Text, Text>| {
            let pairs =
                hash.iter().flat_map(|(field, value)| [field, value].map(|word| Reply::Bulk(word.clone())));
            Reply::Many(pairs.collect())
        };
        match name {
            "HGET" => value(&args[0]),
            "HMGET" => Reply::Many(args.iter().map(value).collect()),
            "HGETALL" => pairs(hash),
            "HEXISTS" => Reply::Number(hash.contains_key(&args[0]).into()),
            "HLEN" => count(hash.len()),
            "HSCAN" => Reply::Many(vec![Reply::Bulk(WHOLE.to_vec()), pairs(hash)]),
            // The first ones are as random as any.
            "HRANDFIELD" => {
                let some = hash.clone().into_iter().take(number(&args[0]) as usize).collect();
                pairs(&some)
            }
            "HSET" => {
                for pair in args.chunks(2) {
                    self.hash_mut(key).insert(pair[0].clone(), pair[1].clone());
                }
                Reply::Number(1)
            }
            "HSETNX" => {
                self.hash_mut(key).entry(args[0].clone()).or_insert_with(|| args[1].clone());
                Reply::Number(1)
            }
            "HINCRBY" => {
                let hash = self.hash_mut(key);
                let sum = hash.get(&args[0]).map_or(0.0, |kept| number(kept)) + number(&args[1]);
                hash.insert(args[0].clone(), format!("{sum:.0}").into());
                Reply::Number(sum as i64)
            }
            "HDEL" => {
                for field in args {
                    self.hash_mut(key).remove(field);
                }
                Reply::Number(1)
            }
            _ => panic!("{name} is not known here"),
        }
    }

    fn sets(&mut self, name: &str, key: &[u8], args: &[Text]) -> Reply {
        let many = |set: Option<&BTreeSet<Text>>, most: usize| {
            let words = set.into_iter().flatten().take(most).map(|word| Reply::Bulk(word.clone()));
            Reply::Many(words.collect())
        };
        match name {
            "SMEMBERS" => many(self.set(key), usize::MAX),
            "SRANDMEMBER" => many(self.set(key), number(&args[0]) as usize),
            "SSCAN" => Reply::Many(vec![Reply::Bulk(WHOLE.to_vec()), many(self.set(key), usize::MAX)]),
            "SADD" => count(args.iter().filter(|word| self.set_mut(key).insert((*word).clone())).count()),
            "SREM" => count(args.iter().filter(|word| self.set_mut(key).remove(*word)).count()),
            _ => panic!("{name} is not known here"),
        }
    }

    fn sorted_sets(&mut self, name: &str, key: &[u8], args: &[Text]) -> Reply {
        let empty = BTreeMap::new();
        let sorted = self.sorted(key).unwrap_or(&empty);
        let in_order = || {
            let mut in_order: Vec<(f64, &Text)> = sorted.iter().map(|(word, score)| (*score, word)).collect();
            in_order.sort_by(|one, other| one.0.total_cmp(&other.0).then(one.1.cmp(other.1)));
            in_order
        };
        let has = |word: &str| args.iter().any(|arg| arg == word.as_bytes());
        let most = args
            .iter()
            .position(|arg| arg == b"LIMIT")
            .map_or(usize::MAX, |at| number(&args[at + 2]) as usize);
        let told = |found: Vec<(f64, &Text)>| {
            let words = found.into_iter().take(most).flat_map(|(score, word)| {
                let score = has("WITHSCORES").then(|| Reply::Bulk(format!("{score:.0}").into()));
                std::iter::once(Reply::Bulk(word.clone())).chain(score)
            });
            Reply::Many(words.collect())
        };
        match name {
            "ZSCORE" => {
                sorted.get(&args[0]).map_or(Reply::Nil, |score| Reply::Bulk(format!("{score:.0}").into()))
            }
            "ZCARD" => count(sorted.len()),
            "ZRANGE" => {
                assert_eq!((&*args[0], &*args[1]), (&b"0"[..], &b"-1"[..]), "all of them");
                told(in_order())
            }
            "ZRANGEBYSCORE" => {
                let within = |score: f64| is_above(score, &args[0]) && is_below(score, &args[1]);
                told(in_order().into_iter().filter(|(score, _)| within(*score)).collect())
            }
            "ZRANGEBYLEX" => {
                let from = |word: &Text| match args[0].split_first() {
                    Some((b'[', from)) => word.as_slice() >= from,
                    Some((b'(', from)) => word.as_slice() > from,
                    _ => true,
                };
                let to = |word: &Text| args[1].split_first().is_none_or(|(_, to)| word.as_slice() < to);
                told(in_order().into_iter().filter(|(_, word)| from(word) && to(word)).collect())
            }
            "ZADD" => {
                for pair in args.chunks(2) {
                    self.sorted_mut(key).insert(pair[1].clone(), number(&pair[0]));
                }
                Reply::Number(1)
            }
            "ZREM" => {
                for word in args {
                    self.sorted_mut(key).remove(word);
                }
                Reply::Number(1)
            }
            _ => panic!("{name} is not known here"),
        }
    }
}

fn count(number: usize) -> Reply {
    Reply::Number(i64::try_from(number).expect("there are not so many"))
}

fn is_above(score: f64, bound: &[u8]) -> bool {
    match bound {
        b"-inf" => true,
        [b'(', bound @ ..] => score > number(bound),
        bound => score >= number(bound),
    }
}

fn is_below(score: f64, bound: &[u8]) -> bool {
    match bound {
        b"+inf" => true,
        [b'(', bound @ ..] => score < number(bound),
        bound => score <= number(bound),
    }
}

fn number(text: &[u8]) -> f64 {
    let text = String::from_utf8_lossy(text);
    text.parse().unwrap_or_else(|_| panic!("{text} is no number"))
}
