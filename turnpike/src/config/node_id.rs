//! The name of a node.

use turnpike_daemon::config::Setting;

/// Letters, digits, `-`, `_` and `.`: it stands in session ids and thereby in URLs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NodeId(String);

impl NodeId {
    const BYTES_MAX: usize = 64;

    /// What the machine calls itself, if that can be the name of a node.
    pub(crate) fn of_machine() -> Option<Self> {
        let name = std::fs::read_to_string("/proc/sys/kernel/hostname").ok()?;
        Self::parse(name.trim()).ok()
    }

    pub(crate) fn into_string(self) -> String {
        self.0
    }
}

impl Setting for NodeId {
    const EXPECTS: &'static str = "1 to 64 letters, digits, `-`, `_` or `.`";

    fn parse(text: &str) -> Result<Self, String> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        if text.is_empty() || text.len() > Self::BYTES_MAX || !text.bytes().all(allowed) {
            return Err("is not a node's name".into());
        }
        Ok(Self(text.into()))
    }

    fn show(&self) -> String {
        self.0.clone()
    }
}
