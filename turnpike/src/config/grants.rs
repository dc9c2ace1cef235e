//! Grants as a value of the configuration.

use std::str::FromStr;

use turnpike_daemon::config::Setting;
use turnpike_guard::{Grant, GrantError, MediaGrant};

/// Grants, separated by spaces. `none` is the empty list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Grants<G = Grant>(Vec<G>, String);

pub(crate) type MediaGrants = Grants<MediaGrant>;

impl<G> Grants<G> {
    pub(crate) fn as_slice(&self) -> &[G] {
        &self.0
    }
}

impl<G: FromStr<Err = GrantError>> Grants<G> {
    fn read(text: &str) -> Result<Self, String> {
        if text == "none" {
            return Ok(Self(Vec::new(), text.into()));
        }
        let grants = text.split_whitespace().map(str::parse).collect::<Result<Vec<G>, _>>();
        let grants = grants.map_err(|error| format!("is not a list of grants: {error}"))?;
        if grants.is_empty() { Err("is empty".into()) } else { Ok(Self(grants, text.into())) }
    }
}

impl Setting for Grants {
    const EXPECTS: &'static str =
        "grants such as `chat:*=join,send news=join,history` (separated by spaces), or `none`";

    fn parse(text: &str) -> Result<Self, String> {
        Self::read(text)
    }

    fn show(&self) -> String {
        self.1.clone()
    }
}

impl Setting for MediaGrants {
    const EXPECTS: &'static str =
        "grants such as `live:*=subscribe studio=publish,subscribe` (separated by spaces), or `none`";

    fn parse(text: &str) -> Result<Self, String> {
        Self::read(text)
    }

    fn show(&self) -> String {
        self.1.clone()
    }
}
