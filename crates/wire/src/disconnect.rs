//! Why the server ends a connection: the close code of a websocket and the `code` of the event `closing`.
//!
//! 3000 to 3499 say "come back", 3500 to 3999 say "not with these credentials".

use std::fmt;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Disconnect {
    /// The node is being emptied.
    Drain,
    /// The client read too slowly for what is sent to it.
    Slow,
    /// The node has more to do than it can.
    Overloaded,
    /// The node lost what connects it with the cluster.
    NodeLost,
    /// The session belongs on another node now.
    Moved,
    TokenExpired,
    Revoked,
    Banned,
    ProtocolError,
    /// Another connection has taken this session over.
    Replaced,
}

impl Disconnect {
    pub const ALL: &'static [Self] = &[
        Self::Drain,
        Self::Slow,
        Self::Overloaded,
        Self::NodeLost,
        Self::Moved,
        Self::TokenExpired,
        Self::Revoked,
        Self::Banned,
        Self::ProtocolError,
        Self::Replaced,
    ];

    pub fn code(self) -> u16 {
        match self {
            Self::Drain => 3001,
            Self::Slow => 3002,
            Self::Overloaded => 3003,
            Self::NodeLost => 3004,
            Self::Moved => 3005,
            Self::TokenExpired => 3501,
            Self::Revoked => 3502,
            Self::Banned => 3503,
            Self::ProtocolError => 3504,
            Self::Replaced => 3505,
        }
    }

    pub fn slug(self) -> &'static str {
        match self {
            Self::Drain => "drain",
            Self::Slow => "slow",
            Self::Overloaded => "overloaded",
            Self::NodeLost => "node_lost",
            Self::Moved => "moved",
            Self::TokenExpired => "token_expired",
            Self::Revoked => "revoked",
            Self::Banned => "banned",
            Self::ProtocolError => "protocol_error",
            Self::Replaced => "replaced",
        }
    }

    /// Whether the client should connect again as it is.
    pub fn comes_back(self) -> bool {
        self.code() < 3500
    }
}

impl fmt::Display for Disconnect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.code(), self.slug())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_forever() {
        let table: Vec<String> = Disconnect::ALL.iter().map(ToString::to_string).collect();
        insta::assert_snapshot!(table.join("\n"), @"
        3001 drain
        3002 slow
        3003 overloaded
        3004 node_lost
        3005 moved
        3501 token_expired
        3502 revoked
        3503 banned
        3504 protocol_error
        3505 replaced
        ");
    }

    /// RFC 6455 7.4.2 leaves 3000 to 3999 to libraries and applications; everything else may be refused by a browser.
    #[test]
    fn codes_may_be_sent_by_an_application() {
        for reason in Disconnect::ALL {
            assert!((3000..4000).contains(&reason.code()), "{reason}");
        }
    }
}
