//! A restraint as one node tells the others of it.

use serde::{Deserialize, Serialize};

use super::ban::{Restraint, Whom};
use super::measure::Rung;

/// Longer ones are not of ours.
const NOTICE_BYTES_MAX: usize = 4_096;

const MUTE: &str = "mute:";

#[derive(Serialize, Deserialize)]
struct Written {
    rung: String,
    #[serde(default)]
    reason: String,
    #[serde(default)]
    by: String,
}

impl Restraint {
    /// What it is found under: a later one for the same replaces it, but a mute no ban, whichever was told first.
    pub fn key(&self) -> String {
        let [ban, mute] = Self::keys(&self.whom);
        if self.rung == Rung::Ban { ban } else { mute }
    }

    /// All that there may be about somebody.
    pub fn keys(whom: &Whom) -> [String; 2] {
        [whom.to_string(), format!("{MUTE}{whom}")]
    }

    /// Whom something is about.
    pub fn whom(key: &str) -> Option<Whom> {
        Whom::parse(key.strip_prefix(MUTE).unwrap_or(key))
    }

    pub fn value(&self) -> String {
        let written =
            Written { rung: self.rung.slug().to_owned(), reason: self.reason.clone(), by: self.by.clone() };
        serde_json::to_string(&written).expect("texts can always be written")
    }

    /// None: it is of another version, or nobody's who knows the form.
    pub fn read(key: &str, value: &str, until_ms: u64) -> Option<Self> {
        if value.len() > NOTICE_BYTES_MAX || key.len() > NOTICE_BYTES_MAX {
            return None;
        }
        let Written { rung, reason, by } = serde_json::from_str(value).ok()?;
        Some(Self { whom: Self::whom(key)?, rung: Rung::named(&rung)?, until_ms, reason, by })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn read_as_it_was_written() {
        for whom in ["user:a:b@c", "network:192.0.2.0/24", "network:2001:db8::/64", "network:192.0.2.1"] {
            let whom = Whom::parse(whom).unwrap();
            let reason = "room_scan 120, \"flood\" 3\n".to_owned();
            let restraint =
                Restraint { whom, rung: Rung::Disconnect, until_ms: 9, reason, by: "node-1".to_owned() };
            assert_eq!(Restraint::read(&restraint.key(), &restraint.value(), 9), Some(restraint));
        }
    }

    #[test]
    fn anything_else_is_none() {
        for (key, value) in [
            ("user:", r#"{"rung":"ban"}"#),
            ("anna", r#"{"rung":"ban"}"#),
            ("network:anna", r#"{"rung":"ban"}"#),
            ("user:anna", r#"{"rung":"shoot"}"#),
            ("user:anna", "{}"),
            ("user:anna", "["),
        ] {
            assert_eq!(Restraint::read(key, value, 9), None, "{key} {value}");
        }
    }
}
