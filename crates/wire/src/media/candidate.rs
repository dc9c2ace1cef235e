//! One way to reach somebody, as browsers write it.

use serde::{Deserialize, Serialize};

use super::{Mid, Text};
use crate::limits::{CANDIDATE_BYTES_MAX, UFRAG_BYTES_MAX};

/// `RTCIceCandidateInit` of the browsers' API: `socket.emit("media:candidate", { session, candidate: event.candidate })`
/// sends just this.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Candidate {
    /// Empty: there are no more.
    #[serde(default)]
    pub candidate: Text<CANDIDATE_BYTES_MAX>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sdp_mid: Option<Mid>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sdp_m_line_index: Option<u16>,
    /// Of which ICE session, when there was a restart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username_fragment: Option<Text<UFRAG_BYTES_MAX>>,
}

impl Candidate {
    /// Both forms in which browsers say that there are no more become none.
    pub fn or_end(candidate: Option<Self>) -> Option<Self> {
        candidate.filter(|candidate| !candidate.candidate.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_browsers_write_it() {
        let text = r#"{"candidate":"candidate:1 1 udp 2122260223 192.0.2.1 5000 typ host","sdpMid":"0","sdpMLineIndex":0,"usernameFragment":"abcd"}"#;
        let candidate: Candidate = serde_json::from_str(text).unwrap();
        assert_eq!((candidate.sdp_mid.as_deref(), candidate.sdp_m_line_index), (Some("0"), Some(0)));
        assert_eq!(serde_json::to_string(&candidate).unwrap(), text);
        let end: Candidate =
            serde_json::from_str(r#"{"candidate":"","sdpMid":null,"sdpMLineIndex":0}"#).unwrap();
        assert_eq!(Candidate::or_end(Some(end)), None);
        assert_eq!(Candidate::or_end(None), None);
        assert_eq!(Candidate::or_end(Some(candidate.clone())), Some(candidate));
        for bad in
            [r#"{"candidate":"a\r\nb"}"#, r#"{"candidate":"a","sdpMLineIndex":-1}"#, r#""candidate:1""#]
        {
            assert!(serde_json::from_str::<Candidate>(bad).is_err(), "{bad}");
        }
        let long = format!(r#"{{"candidate":"{}"}}"#, "x".repeat(CANDIDATE_BYTES_MAX + 1));
        assert!(serde_json::from_str::<Candidate>(&long).is_err());
    }
}
