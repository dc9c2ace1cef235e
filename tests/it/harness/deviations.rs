//! What the references are known to do differently: `tests/deviations.json`, shared with the Node suite.

use std::collections::HashMap;

use serde::Deserialize;

use super::Kind;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Difference {
    /// The feature is not there, or waiting for its lack would take too long.
    Skip,
    /// The server does something else: the test has to fail, so that an outdated entry is noticed.
    Deviates,
    /// It depends on timing.
    Varies,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Deviation {
    pub kind: Difference,
    pub reason: String,
}

pub fn find(server: Kind, test: &str) -> Option<Deviation> {
    let table: HashMap<String, HashMap<String, Deviation>> =
        serde_json::from_str(include_str!("../../deviations.json")).expect("deviations.json is well formed");
    table.get(server.name())?.get(test).cloned()
}
