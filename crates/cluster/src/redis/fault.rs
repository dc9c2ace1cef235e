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
                // What waits on a connection that is given up fred answers in words of its own, under no kind.
                Self::Refused(text) if !is_of_redis(&text) => Self::Lost(text),
                fault => fault,
            },
        }
    }
}

/// Error replies begin with a code.
fn is_of_redis(text: &str) -> bool {
    let code = text.split_whitespace().next().unwrap_or_default();
    !code.is_empty() && code.bytes().all(|letter| letter.is_ascii_uppercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A connection that is given up takes all with it that waits there: none of it was refused, and all is asked again.
    #[tokio::test]
    async fn what_waited_on_a_connection_that_was_given_up_is_lost_and_not_refused() {
        let (given_up, waits) = tokio::sync::oneshot::channel::<()>();
        drop(given_up);
        let error = fred::error::Error::from(waits.await.unwrap_err());
        assert!(matches!(Fault::from(error), Fault::Lost(_)));
        let aborted = tokio::spawn(std::future::pending::<()>());
        aborted.abort();
        let error = fred::error::Error::from(aborted.await.unwrap_err());
        assert!(matches!(Fault::from(error), Fault::Lost(_)));
        let said =
            |text: &'static str| Fault::from(fred::error::Error::new(fred::error::ErrorKind::Unknown, text));
        assert!(matches!(said("Failed to send command to router."), Fault::Lost(_)));
        assert!(matches!(said("ERR wrong number of arguments"), Fault::Refused(_)));
    }

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
