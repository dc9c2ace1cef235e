//! What speaks against somebody, by name, and how much.
//!
//! The table of docs/abuse.md is held against this one by a test.

use super::measure::Rung;

/// How much one of it adds to a score.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Weight {
    /// To that of the user.
    pub user: f32,
    /// To that of the address, of what a user did: others may come from the same address, so it is little.
    pub beside: f32,
    /// To that of the address, of what nobody can be named for.
    pub alone: f32,
    /// The highest rung that this can lead to without worse beside it.
    pub highest: Rung,
}

macro_rules! signals {
    ($($Name:ident = $slug:literal, user $user:literal, beside $beside:literal, alone $alone:literal, $Highest:ident: $about:literal;)+) => {
        /// Something that honest clients seldom do.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Signal { $(#[doc = $about] $Name),+ }

        impl Signal {
            pub const ALL: [Self; [$($slug),+].len()] = [$(Self::$Name),+];

            /// A constant name, fit for a metric's label.
            pub fn slug(self) -> &'static str {
                match self { $(Self::$Name => $slug),+ }
            }

            pub fn named(slug: &str) -> Option<Self> {
                Self::ALL.into_iter().find(|signal| signal.slug() == slug)
            }

            /// One sentence for those who read of it.
            pub fn about(self) -> &'static str {
                match self { $(Self::$Name => $about),+ }
            }

            pub fn weight(self) -> Weight {
                match self {
                    $(Self::$Name => Weight { user: $user, beside: $beside, alone: $alone, highest: Rung::$Highest }),+
                }
            }
        }
    };
}

signals! {
    BadToken = "bad_token", user 2.0, beside 0.5, alone 2.0, Ban: "A token that was never a good one here: forged, garbled, of a key that is not known. One that has expired, or is not valid yet, is none.";
    OriginRefused = "origin_refused", user 0.1, beside 0.1, alone 0.1, Ban: "A page of an origin that may not connect.";
    Malformed = "malformed", user 5.0, beside 1.0, alone 5.0, Ban: "What no client sends that speaks the protocol: broken frames, packets, requests, introductions.";
    Flood = "flood", user 0.2, beside 0.05, alone 0.2, Ban: "Something refused because there was too much of it, or it was too large, or its sender was muted.";
    RoomScan = "room_scan", user 0.5, beside 0.1, alone 0.5, Ban: "One more room asked for that the token does not grant.";
    HistoryScan = "history_scan", user 0.5, beside 0.1, alone 0.5, Ban: "History asked for without a right to it, or page after page far beyond what anybody reads.";
    Churn = "churn", user 0.3, beside 0.01, alone 0.02, Ban: "A session that its client ended seconds after it began, or that was begun and not entered.";
    SlowReader = "slow_reader", user 2.0, beside 0.2, alone 2.0, Disconnect: "A connection closed because its client took nothing of what waited for it, or a request that was begun and not ended.";
    BadDescription = "bad_description", user 0.5, beside 0.1, alone 0.5, Disconnect: "A session description for live video that cannot be read or makes no sense.";
    SessionGuess = "session_guess", user 5.0, beside 1.0, alone 0.02, Ban: "A session id that is nobody's, as also after a restart, or somebody else's.";
    ForgedHeader = "forged_header", user 0.05, beside 0.05, alone 0.05, Mute: "Forwarding headers from an address that is no trusted proxy. They are not believed.";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_weights_are_sound() {
        for signal in Signal::ALL {
            assert_eq!(Signal::named(signal.slug()), Some(signal));
            let Weight { user, beside, alone, .. } = signal.weight();
            assert!(user > 0.0 && alone > 0.0 && beside <= user, "{signal:?}");
        }
    }
}
