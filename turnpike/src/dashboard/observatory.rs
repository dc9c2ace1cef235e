//! What is known of all nodes while somebody watches, and what one who watches has been told of it: from the second time on
//! only what has changed.

use std::collections::{HashMap, HashSet};

use serde_json::{Map, Value as Json, json};
use turnpike_cluster::{Incarnation, Node, RelayOffer};

use super::figures::Value;
use super::past::{Kept, Past};
use super::words::Figures;

/// Nodes that are shown one by one, and counted. Of more the dashboard says that they are there.
pub(super) const NODES_MAX: usize = 128;
/// A letter, thus a second: clocks of machines drift apart by less than a tenth of this.
const CREEP_MS: i64 = 1;

/// Of one node.
pub(super) struct Seen {
    pub(super) node: Node,
    /// What is added to its clock to get ours.
    apart_ms: Option<i64>,
    keys: Vec<String>,
    past: Past,
    faults: Vec<String>,
}

#[derive(Default)]
pub(super) struct Observatory {
    seen: HashMap<Incarnation, Seen>,
    /// Nodes beyond those.
    more: usize,
}

impl Observatory {
    /// Those that live now. What is known of others is forgotten.
    pub(super) fn living(&mut self, own: Incarnation, nodes: &[Node]) {
        let mut nodes: Vec<&Node> = nodes.iter().collect();
        // This one always, the others by their names, so that it is always the same ones.
        nodes.sort_by_cached_key(|node| (node.incarnation != own, node.name.clone(), node.incarnation));
        self.more = nodes.len().saturating_sub(NODES_MAX);
        nodes.truncate(NODES_MAX);
        let living: HashSet<Incarnation> = nodes.iter().map(|node| node.incarnation).collect();
        self.seen.retain(|incarnation, _| living.contains(incarnation));
        for node in nodes {
            let seen = self.seen.entry(node.incarnation).or_insert_with(|| Seen {
                node: node.clone(),
                apart_ms: None,
                keys: Vec::new(),
                past: Past::default(),
                faults: Vec::new(),
            });
            seen.node.clone_from(node);
        }
    }

    /// Everybody, with the number of the newest sample.
    pub(super) fn known(&self) -> Vec<(Incarnation, u64)> {
        let newest = |seen: &Seen| seen.past.newest().map_or(0, |kept| kept.number);
        self.seen.iter().map(|(incarnation, seen)| (*incarnation, newest(seen))).collect()
    }

    /// What a node said of itself.
    pub(super) fn take(&mut self, from: Incarnation, figures: Figures, now_ms: u64) {
        let Some(seen) = self.seen.get_mut(&from) else { return };
        if seen.keys != figures.keys {
            seen.past.rearrange(&seen.keys, &figures.keys);
            seen.keys = figures.keys;
        }
        seen.faults = figures.faults;
        // The letter that took least says it best; the creep follows clocks that do not run alike.
        let apart_ms = signed(now_ms).saturating_sub(signed(figures.now_ms));
        let apart_ms = seen.apart_ms.map_or(apart_ms, |known| apart_ms.min(known.saturating_add(CREEP_MS)));
        seen.apart_ms = Some(apart_ms);
        for sample in figures.samples {
            let at_ms = now_ms.min(signed(sample.at_ms).saturating_add(apart_ms).max(0).unsigned_abs());
            seen.past.put(Kept { number: sample.number, at_ms, values: sample.values });
        }
    }

    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }
}

/// What one who watches knows.
#[derive(Default)]
pub(super) struct Told {
    nodes: HashMap<Incarnation, OfNode>,
}

struct OfNode {
    node: Node,
    keys: Vec<String>,
    faults: Vec<String>,
    number: u64,
    values: Vec<Value>,
}

impl Told {
    /// The next line.
    pub(super) fn next(&mut self, observatory: &Observatory, own: Incarnation, now_ms: u64) -> String {
        let gone: Vec<Incarnation> =
            self.nodes.keys().filter(|known| !observatory.seen.contains_key(known)).copied().collect();
        for incarnation in &gone {
            self.nodes.remove(incarnation);
        }
        let mut nodes: Vec<Json> = Vec::new();
        for (incarnation, seen) in &observatory.seen {
            let whole = self.nodes.get(incarnation).is_none_or(|known| known.keys != seen.keys);
            let line = if whole { Some(shown(seen, own)) } else { self.changes(*incarnation, seen, own) };
            self.nodes.insert(*incarnation, known(seen));
            nodes.extend(line);
        }
        let mut line = json!({ "now": now_ms, "nodes": nodes });
        if !gone.is_empty() {
            line["gone"] = gone.iter().map(ToString::to_string).collect();
        }
        if observatory.more > 0 {
            line["more"] = observatory.more.into();
        }
        line.to_string()
    }

    fn changes(&self, incarnation: Incarnation, seen: &Seen, own: Incarnation) -> Option<Json> {
        let known = self.nodes.get(&incarnation)?;
        let mut line = Map::new();
        if known.node != seen.node {
            line.insert("node".into(), described(&seen.node, own));
        }
        if known.faults != seen.faults {
            line.insert("faults".into(), json!(seen.faults));
        }
        if let Some(newest) = seen.past.newest().filter(|newest| newest.number > known.number) {
            let changed = newest.values.iter().zip(&known.values).enumerate();
            let changed = changed
                .filter(|(_, (now, before))| now != before)
                .map(|(index, (now, _))| (index.to_string(), json!(now)));
            line.insert("at".into(), newest.at_ms.into());
            line.insert("changed".into(), Json::Object(changed.collect()));
        }
        if line.is_empty() {
            return None;
        }
        line.insert("id".into(), incarnation.to_string().into());
        Some(Json::Object(line))
    }
}

fn signed(ms: u64) -> i64 {
    i64::try_from(ms).unwrap_or(i64::MAX)
}

fn known(seen: &Seen) -> OfNode {
    let newest = seen.past.newest();
    OfNode {
        node: seen.node.clone(),
        keys: seen.keys.clone(),
        faults: seen.faults.clone(),
        number: newest.map_or(0, |kept| kept.number),
        values: newest.map_or_else(Vec::new, |kept| kept.values.clone()),
    }
}

fn shown(seen: &Seen, own: Incarnation) -> Json {
    let past: Vec<Json> = seen.past.after(0).map(|kept| json!([kept.at_ms, kept.values])).collect();
    json!({
        "id": seen.node.incarnation.to_string(),
        "node": described(&seen.node, own),
        "faults": seen.faults,
        "keys": seen.keys,
        "past": past,
    })
}

fn described(node: &Node, own: Incarnation) -> Json {
    let relay = node.relay.as_ref().map(|RelayOffer { load_permille, has_room, alone, .. }| {
        json!({ "load_permille": load_permille, "has_room": has_room, "alone": alone })
    });
    json!({
        "name": node.name,
        "own": node.incarnation == own,
        "address": node.address,
        "version": node.version,
        "draining": node.draining,
        "relay": relay,
    })
}

#[cfg(test)]
mod tests {
    use super::super::words::Sample;
    use super::*;

    const OWN: Incarnation = Incarnation(1);
    const OTHER: Incarnation = Incarnation(2);

    fn node(incarnation: Incarnation) -> Node {
        Node {
            incarnation,
            name: format!("gateway-{}", incarnation.0),
            address: None,
            version: "0.1.0".into(),
            draining: false,
            places: None,
            relay: None,
        }
    }

    /// A number a second, by a clock that began when ours was at 0.
    fn said(number: u64, values: [u64; 2]) -> Figures {
        let values = values.into_iter().map(Some).collect();
        Figures {
            now_ms: number * 1_000,
            keys: vec!["connections".into(), "rooms".into()],
            samples: vec![Sample { number, at_ms: number * 1_000, values }],
            faults: Vec::new(),
        }
    }

    fn line(told: &mut Told, observatory: &Observatory, now_ms: u64) -> Json {
        serde_json::from_str(&told.next(observatory, OWN, now_ms)).unwrap()
    }

    #[test]
    fn first_all_then_what_has_changed_then_who_has_gone() {
        let (mut observatory, mut told) = (Observatory::default(), Told::default());
        observatory.living(OWN, &[node(OTHER), node(OWN)]);
        observatory.take(OTHER, said(1, [5, 2]), 1_000);
        let first = line(&mut told, &observatory, 1_000);
        assert_eq!(first["nodes"].as_array().unwrap().len(), 2, "{first}");
        let other = first["nodes"].as_array().unwrap().iter().find(|node| node["node"]["own"] == false);
        assert_eq!(other.unwrap()["past"], json!([[1_000, [5, 2]]]), "{first}");

        observatory.take(OTHER, said(2, [6, 2]), 2_000);
        let second = line(&mut told, &observatory, 2_000);
        let id = OTHER.to_string();
        assert_eq!(second["nodes"], json!([{ "id": id, "at": 2_000, "changed": { "0": 6 } }]));
        assert_eq!(line(&mut told, &observatory, 3_000)["nodes"], json!([]), "nothing new");

        observatory.living(OWN, &[node(OWN)]);
        let last = line(&mut told, &observatory, 4_000);
        assert_eq!((&last["gone"], &last["nodes"]), (&json!([id]), &json!([])));
        observatory.take(OTHER, said(3, [1, 1]), 5_000);
        assert_eq!(
            line(&mut told, &observatory, 5_000)["nodes"],
            json!([]),
            "nobody is revived by a late letter"
        );
    }

    #[test]
    fn a_figure_that_appears_makes_the_node_whole_again_with_all_of_its_past() {
        let (mut observatory, mut told) = (Observatory::default(), Told::default());
        observatory.living(OWN, &[node(OWN)]);
        observatory.take(OWN, said(1, [5, 2]), 1_000);
        line(&mut told, &observatory, 1_000);
        let mut more = said(12, [6, 2]);
        more.keys.insert(1, "limit:sends".into());
        more.samples[0].values.insert(1, Some(1));
        observatory.take(OWN, more, 12_000);
        let whole = &line(&mut told, &observatory, 12_000)["nodes"][0];
        assert_eq!(whole["keys"], json!(["connections", "limit:sends", "rooms"]));
        assert_eq!(whole["past"], json!([[1_000, [5, null, 2]], [12_000, [6, 1, 2]]]));
    }

    #[test]
    fn samples_are_as_far_apart_as_their_node_took_them_however_long_letters_take() {
        let mut observatory = Observatory::default();
        observatory.living(OWN, &[node(OTHER)]);
        let mut apart = Vec::new();
        for (number, took_ms) in [(1, 20), (2, 900), (3, 10), (4, 400)] {
            observatory.take(OTHER, said(number, [0, 0]), 70_000 + number * 1_000 + took_ms);
            apart.push(observatory.seen[&OTHER].past.newest().unwrap().at_ms - 70_000);
        }
        assert_eq!(apart, [1_020, 2_021, 3_010, 4_011]);
    }

    #[test]
    fn a_crowd_is_cut_and_said_so_and_this_node_is_always_in_it() {
        let mut observatory = Observatory::default();
        let own = Incarnation(u64::MAX);
        let mut nodes: Vec<Node> = (2..400).map(|number| node(Incarnation(number))).collect();
        nodes.push(Node { name: "zzz".into(), ..node(own) });
        observatory.living(own, &nodes);
        assert_eq!(observatory.known().len(), NODES_MAX);
        assert!(observatory.known().iter().any(|(incarnation, _)| *incarnation == own));
        let line: Json = serde_json::from_str(&Told::default().next(&observatory, own, 0)).unwrap();
        assert_eq!(line["more"], 399 - NODES_MAX);
    }
}
