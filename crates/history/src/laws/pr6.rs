//! Nothing refers to a node that has been dead for a minute.

use std::collections::HashMap;

use super::SECOND;
use crate::What;
use crate::index::Index;
use crate::law::{Found, found};

const LIMIT_US: u64 = 60 * SECOND;

pub(super) fn check(index: &Index<'_>) -> Vec<Found> {
    let mut violations = Vec::new();
    let mut dead: HashMap<&str, u64> = HashMap::new();
    for event in index.events {
        match &event.what {
            What::NodeDown { node } => drop(dead.insert(node, event.at_us)),
            What::NodeUp { node } => drop(dead.remove(node.as_str())),
            What::Rows { nodes } => {
                let long_dead = |node: &&String| {
                    dead.get(node.as_str()).is_some_and(|since| event.at_us > since + LIMIT_US)
                };
                for node in nodes.iter().filter(long_dead) {
                    violations.push(found!(event.at_us, "rows refer to {node}"));
                }
            }
            _ => {}
        }
    }
    violations
}
