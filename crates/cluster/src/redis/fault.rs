//! Why a command was not answered as asked, in the words that decide what to do next.

use super::address::Address;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Fault {
    /// The slot belongs to somebody else now.
    #[error("the slot has moved to {0}")]
    Moved(Address),
    /// The slot is on its way, and these keys are there already.
    #[error("the keys are at {0} already")]
    Ask(Address),
    /// It will be answered here or elsewhere in a moment: the slot is on its way, data is being loaded, no majority
    /// agrees, or this process has become a replica.
    #[error("not now: {0}")]
    NotNow(Box<str>),
    /// The function library is not there.
    #[error("the function is not known")]
    NoFunction,
    /// The connection ended or was given up before the answer. What was asked may have been done.
    #[error("the connection was lost: {0}")]
    Lost(Box<str>),
    /// Asking again will not help.
    #[error("refused: {0}")]
    Refused(Box<str>),
}

impl Fault {
    /// From the text of an error reply.
    pub(crate) fn parse(text: &str) -> Self {
        let mut words = text.split_whitespace();
        match words.next().unwrap_or_default() {
            "MOVED" => {
                words.nth(1).and_then(Address::parse).map_or_else(|| Self::NotNow(text.into()), Self::Moved)
            }
            "ASK" => {
                words.nth(1).and_then(Address::parse).map_or_else(|| Self::NotNow(text.into()), Self::Ask)
            }
            "TRYAGAIN" | "CLUSTERDOWN" | "LOADING" | "MASTERDOWN" | "READONLY" | "BUSY" | "UNBLOCKED"
            | "NOREPLICAS" | "MISCONF" | "OOM" => Self::NotNow(text.into()),
            _ if text.contains("Function not found") => Self::NoFunction,
            // What a function calls is refused in the function's name.
            _ if ["non local key", "-CLUSTERDOWN", "-READONLY", "-MISCONF", "-OOM", "cluster is down"]
                .iter()
                .any(|sign| text.contains(sign)) =>
            {
                Self::NotNow(text.into())
            }
            _ => Self::Refused(text.into()),
        }
    }
}

impl From<fred::error::Error> for Fault {
    fn from(error: fred::error::Error) -> Self {
        use fred::error::ErrorKind;

        match error.kind() {
            ErrorKind::IO
            | ErrorKind::Timeout
            | ErrorKind::Canceled
            | ErrorKind::Protocol
            | ErrorKind::Backpressure => Self::Lost(error.details().into()),
            _ => match Self::parse(error.details()) {
                // fred closes the connection on it, so what was sent behind it is lost.
                Self::NotNow(text) if text.starts_with("CLUSTERDOWN") => Self::NotNow(text),
                Self::Refused(text) if text.contains("initialized") || text.contains("attempts") => {
                    Self::Lost(text)
                }
                fault => fault,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_that_mean_ask_again() {
        let address = Address::parse("127.0.0.1:7002").unwrap();
        for (text, fault) in [
            ("MOVED 3999 127.0.0.1:7002", Fault::Moved(address.clone())),
            ("ASK 3999 127.0.0.1:7002", Fault::Ask(address)),
            ("ERR Function not found", Fault::NoFunction),
        ] {
            assert_eq!(Fault::parse(text), fault);
        }
        for text in [
            "TRYAGAIN Multiple keys request during rehashing of slot",
            "CLUSTERDOWN Hash slot not served",
            "CLUSTERDOWN The cluster is down",
            "LOADING Redis is loading the dataset in memory",
            "READONLY You can't write against a read only replica.",
            "UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)",
            "ERR Script attempted to access a non local key in a cluster node script: f, on @user_function:1.",
            "MOVED 3999 nonsense",
        ] {
            assert!(matches!(Fault::parse(text), Fault::NotNow(_)), "{text}");
        }
        assert!(matches!(Fault::parse("WRONGTYPE Operation against a key"), Fault::Refused(_)));
        assert!(matches!(Fault::parse(""), Fault::Refused(_)));
    }
}
