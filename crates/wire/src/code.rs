//! The numbers by which a client learns why something was refused.
//!
//! A number never changes its meaning and is never used again. Programs look at the number or the slug; the message is
//! for the person who reads the log.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $number:literal, $slug:literal, retryable: $retryable:literal, http: $http:literal, $message:literal;)*) => {
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Code {
            $($(#[$doc])* $name,)*
        }

        impl Code {
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            pub fn number(self) -> u16 {
                match self { $(Self::$name => $number,)* }
            }

            pub fn slug(self) -> &'static str {
                match self { $(Self::$name => $slug,)* }
            }

            /// Whether the same request may succeed later, unchanged.
            pub fn retryable(self) -> bool {
                match self { $(Self::$name => $retryable,)* }
            }

            /// The status under which the same failure is reported over HTTP.
            pub fn http_status(self) -> u16 {
                match self { $(Self::$name => $http,)* }
            }

            /// What is said when the place of failure has nothing better to say.
            pub fn message(self) -> &'static str {
                match self { $(Self::$name => $message,)* }
            }
        }
    };
}

codes! {
    Internal = 100, "internal", retryable: true, http: 500, "something went wrong on our side";
    BadRequest = 101, "bad_request", retryable: false, http: 400, "the request is not of the form that this event takes";
    UnknownEvent = 102, "unknown_event", retryable: false, http: 404, "there is no such event";
    TooLarge = 103, "too_large", retryable: false, http: 413, "the request is larger than the limit";
    Unauthorized = 104, "unauthorized", retryable: false, http: 401, "a valid token is needed";
    TokenExpired = 105, "token_expired", retryable: false, http: 401, "the token has expired";
    Forbidden = 106, "forbidden", retryable: false, http: 403, "the token does not grant this";
    NotInRoom = 107, "not_in_room", retryable: false, http: 409, "join the room first";
    RateLimited = 108, "rate_limited", retryable: true, http: 429, "too many requests";
    LimitReached = 109, "limit_reached", retryable: false, http: 409, "a limit has been reached";
    Unavailable = 110, "unavailable", retryable: true, http: 503, "not possible right now, try again";
    PositionLost = 111, "position_lost", retryable: false, http: 410, "the history no longer reaches back that far";
    Banned = 112, "banned", retryable: false, http: 403, "banned";
    NoSuchStream = 120, "no_such_stream", retryable: false, http: 404, "there is no such stream";
    StreamTaken = 121, "stream_taken", retryable: false, http: 409, "somebody else publishes this stream";
    BadSdp = 122, "bad_sdp", retryable: false, http: 400, "the session description cannot be used";
    NoRelay = 123, "no_relay", retryable: true, http: 503, "no media relay has room right now";
    CodecNotSupported = 124, "codec_not_supported", retryable: false, http: 415, "none of the offered codecs is supported";
}

impl Code {
    pub fn of(number: u16) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.number() == number)
    }
}

/// Between nodes, and to clients, it is the number.
impl Serialize for Code {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u16(self.number())
    }
}

/// A number of a later version says no more than that it is not possible right now.
impl<'de> Deserialize<'de> for Code {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        u16::deserialize(deserializer).map(|number| Self::of(number).unwrap_or(Self::Unavailable))
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.number(), self.slug())
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;

    #[test]
    fn found_by_their_numbers() {
        for code in Code::ALL {
            assert_eq!(Code::of(code.number()), Some(*code));
        }
        assert_eq!(Code::of(99), None);
    }

    /// Clients hold these numbers in their code. A line that changes here is a break of the protocol.
    #[test]
    fn numbers_are_forever() {
        let mut table = String::new();
        for code in Code::ALL {
            let retry = if code.retryable() { "retryable" } else { "final" };
            writeln!(table, "{code} {retry} {}", code.http_status()).unwrap();
        }
        insta::assert_snapshot!(table, @"
        100 internal retryable 500
        101 bad_request final 400
        102 unknown_event final 404
        103 too_large final 413
        104 unauthorized final 401
        105 token_expired final 401
        106 forbidden final 403
        107 not_in_room final 409
        108 rate_limited retryable 429
        109 limit_reached final 409
        110 unavailable retryable 503
        111 position_lost final 410
        112 banned final 403
        120 no_such_stream final 404
        121 stream_taken final 409
        122 bad_sdp final 400
        123 no_relay retryable 503
        124 codec_not_supported final 415
        ");
    }
}
