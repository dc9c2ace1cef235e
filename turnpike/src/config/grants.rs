//! Grants as a value of the configuration.

use turnpike_daemon::config::Setting;
use turnpike_guard::Grant;

/// Grants of rooms, separated by spaces. `none` is the empty list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Grants(Vec<Grant>, String);

impl Grants {
    pub(crate) fn as_slice(&self) -> &[Grant] {
        &self.0
    }
}

impl Setting for Grants {
    const EXPECTS: &'static str =
        "grants such as `chat:*=join,send news=join,history` (separated by spaces), or `none`";

    fn parse(text: &str) -> Result<Self, String> {
        if text == "none" {
            return Ok(Self(Vec::new(), text.into()));
        }
        let grants = text.split_whitespace().map(str::parse).collect::<Result<Vec<Grant>, _>>();
        let grants = grants.map_err(|error| format!("is not a list of grants: {error}"))?;
        if grants.is_empty() { Err("is empty".into()) } else { Ok(Self(grants, text.into())) }
    }

    fn show(&self) -> String {
        self.1.clone()
    }
}
