//! The two identities of a client: the secret one that names its session in URLs, and the public one that
//! others may see. They are drawn separately, so that neither tells the other.

use std::cell::RefCell;
use std::fmt;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// Random bytes are drawn for many ids at once: a draw costs more than the bytes.
const DRAWN_BYTES: usize = 1_024;

thread_local! {
    static DRAWN: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Unpredictable bytes, each given out once.
fn random_bytes<const N: usize>() -> [u8; N] {
    DRAWN.with_borrow_mut(|drawn| {
        if drawn.len() < N {
            drawn.resize(DRAWN_BYTES, 0);
            SystemRandom::new().fill(drawn).expect("the operating system gives random bytes");
        }
        let rest = drawn.len() - N;
        let bytes = drawn[rest..].try_into().expect("just as many were split off");
        drawn[rest..].fill(0);
        drawn.truncate(rest);
        bytes
    })
}

/// A socket's public id: 120 random bits, written as 20 characters.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SocketId([u8; 15]);

impl SocketId {
    pub const TEXT_BYTES: usize = 20;

    pub fn random() -> Self {
        Self(random_bytes())
    }

    /// The id that a text names, if it is one.
    pub fn parse(text: &str) -> Option<Self> {
        let mut bytes = [0; 15];
        (text.len() == Self::TEXT_BYTES
            && URL_SAFE_NO_PAD.decode_slice(text, &mut bytes).is_ok_and(|written| written == 15))
        .then_some(Self(bytes))
    }

    /// The text on the stack, for paths that must not allocate.
    pub fn text(&self) -> [u8; Self::TEXT_BYTES] {
        let mut text = [0; Self::TEXT_BYTES];
        URL_SAFE_NO_PAD.encode_slice(self.0, &mut text).expect("15 bytes make 20 characters");
        text
    }
}

impl fmt::Display for SocketId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(std::str::from_utf8(&self.text()).expect("base64 is ASCII"))
    }
}

impl fmt::Debug for SocketId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// The secret half of a session id: 128 random bits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct SessionSecret([u8; 16]);

impl SessionSecret {
    const TEXT_BYTES: usize = 22;

    pub(crate) fn random() -> Self {
        Self(random_bytes())
    }
}

impl fmt::Display for SessionSecret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [0; Self::TEXT_BYTES];
        URL_SAFE_NO_PAD.encode_slice(self.0, &mut text).expect("16 bytes make 22 characters");
        formatter.write_str(std::str::from_utf8(&text).expect("base64 is ASCII"))
    }
}

/// What a request shows for itself: the session's secret, and whose it says that it is.
#[derive(Clone, Copy)]
pub(crate) struct Shown {
    pub(crate) secret: SessionSecret,
    pub(crate) bearer: Option<Bearer>,
}

/// An `Authorization` header, told from others without being kept.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bearer(u64);

impl Bearer {
    /// The same on each shard. Somebody who has to guess a header gains nothing by a header that looks like it here.
    pub(crate) fn of(header: &str) -> Self {
        let mut hasher = DefaultHasher::new();
        header.hash(&mut hasher);
        Self(hasher.finish())
    }
}

/// `<node>.<shard>.<secret>`: any balancer can route a request by reading the front of it.
#[derive(Clone, Copy)]
pub(crate) struct SessionAddress<'a> {
    pub(crate) node: &'a str,
    pub(crate) shard: u16,
    pub(crate) secret: SessionSecret,
}

impl<'a> SessionAddress<'a> {
    pub(crate) fn parse(text: &'a str) -> Option<Self> {
        let (rest, secret_text) = text.rsplit_once('.')?;
        let (node, shard) = rest.rsplit_once('.')?;
        let mut secret = [0; 16];
        let whole = secret_text.len() == SessionSecret::TEXT_BYTES
            && URL_SAFE_NO_PAD.decode_slice(secret_text, &mut secret).is_ok_and(|written| written == 16);
        whole.then_some(())?;
        Some(Self { node, shard: shard.parse().ok()?, secret: SessionSecret(secret) })
    }
}

impl fmt::Display for SessionAddress<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}.{}", self.node, self.shard, self.secret)
    }
}

/// Where a connection stands in its shard. The generation tells a reused slot from the one that was meant.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Key {
    pub(crate) slot: u32,
    pub(crate) generation: u32,
}

/// Names one socket (a connection in a namespace) from any thread.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct SocketRef {
    pub(crate) shard: u16,
    pub(crate) key: Key,
    pub(crate) id: SocketId,
}

impl SocketRef {
    /// The public id, as the client knows it.
    pub fn id(&self) -> SocketId {
        self.id
    }

    /// The index of the shard that holds the connection.
    pub fn shard(&self) -> usize {
        usize::from(self.shard)
    }
}

impl fmt::Display for SocketRef {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.id, formatter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn socket_id_text_round_trips() {
        let id = SocketId::random();
        assert_eq!(SocketId::parse(&id.to_string()), Some(id));
        assert_eq!(id.to_string().len(), 20);
        for bad in ["", "short", "nineteen-characters", "twenty!!characters!!", "twenty-one-characters"] {
            assert_eq!(SocketId::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn session_address_names_node_and_shard() {
        let secret = SessionSecret::random();
        let text = SessionAddress { node: "gw-a.eu", shard: 7, secret }.to_string();
        let parsed = SessionAddress::parse(&text).expect("it was just written");
        assert_eq!((parsed.node, parsed.shard), ("gw-a.eu", 7));
        assert!(parsed.secret == secret);
        for bad in
            ["", "..", "a.0.", "a.0.tooshort", "a.x.AAAAAAAAAAAAAAAAAAAAAA", "a.70000.AAAAAAAAAAAAAAAAAAAAAA"]
        {
            assert!(SessionAddress::parse(bad).is_none(), "{bad}");
        }
    }
}
