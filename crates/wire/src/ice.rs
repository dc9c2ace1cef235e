//! Servers that help a client to reach a relay, in the form in which a browser's `RTCPeerConnection` takes them.
//!
//! How a credential is made is not its matter.

use std::fmt;

use serde::Serialize;

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct IceServer<'a> {
    /// `stun:stun.example.org`, `turn:turn.example.org:3478?transport=udp`
    pub urls: &'a [String],
    /// TURN servers ask for one.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub credential: Option<IceCredential>,
}

#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct IceCredential {
    pub username: String,
    #[serde(rename = "credential")]
    pub password: String,
    /// Milliseconds since 1970. Browsers pass over it.
    pub expires_at: u64,
}

/// Whoever reads a log must not be able to relay.
impl fmt::Debug for IceCredential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { username, expires_at, .. } = self;
        f.debug_struct("IceCredential")
            .field("username", username)
            .field("expires_at", expires_at)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_a_browser_takes_them() {
        let json = |server: &IceServer<'_>| serde_json::to_string(server).unwrap();
        let stun = ["stun:stun.example.org".to_owned()];
        insta::assert_snapshot!(json(&IceServer { urls: &stun, credential: None }), @r#"{"urls":["stun:stun.example.org"]}"#);
        let turn = ["turn:turn.example.org?transport=udp".to_owned()];
        let credential = IceCredential {
            username: "1790000600:alice".to_owned(),
            password: "c2VjcmV0".to_owned(),
            expires_at: 1_790_000_600_000,
        };
        let server = IceServer { urls: &turn, credential: Some(credential) };
        insta::assert_snapshot!(json(&server), @r#"{"urls":["turn:turn.example.org?transport=udp"],"username":"1790000600:alice","credential":"c2VjcmV0","expires_at":1790000600000}"#);
        assert!(!format!("{server:?}").contains("c2VjcmV0"));
    }
}
