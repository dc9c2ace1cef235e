//! What speaks against somebody, by name.

/// Something that honest clients seldom do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Signal {
    BadToken,
    OriginRefused,
    Malformed,
    Flood,
    RoomScan,
    HistoryScan,
    Churn,
    SlowReader,
    SessionGuess,
    ForgedHeader,
}

impl Signal {
    pub const ALL: [Self; 10] = [
        Self::BadToken,
        Self::OriginRefused,
        Self::Malformed,
        Self::Flood,
        Self::RoomScan,
        Self::HistoryScan,
        Self::Churn,
        Self::SlowReader,
        Self::SessionGuess,
        Self::ForgedHeader,
    ];

    /// A constant name, fit for a metric's label.
    pub fn slug(self) -> &'static str {
        match self {
            Self::BadToken => "bad_token",
            Self::OriginRefused => "origin_refused",
            Self::Malformed => "malformed",
            Self::Flood => "flood",
            Self::RoomScan => "room_scan",
            Self::HistoryScan => "history_scan",
            Self::Churn => "churn",
            Self::SlowReader => "slow_reader",
            Self::SessionGuess => "session_guess",
            Self::ForgedHeader => "forged_header",
        }
    }
}
