//! What somebody tells the log: the fields of a record that are not the log's own. Pure.
//!
//! Never payloads, tokens, session descriptions, passwords or typing.

use crate::kind::{Kind, Outcome, Severity};
use crate::text::Text;

/// Entries of the detail; more are left out. With [`TEXT_BYTES_MAX`](crate::TEXT_BYTES_MAX) this keeps a record under
/// [`LINE_BYTES_MAX`](crate::LINE_BYTES_MAX).
pub const DETAIL_ENTRIES_MAX: usize = 12;

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    pub(crate) kind: Kind,
    pub(crate) outcome: Outcome,
    pub(crate) severity: Severity,
    pub(crate) reason: Option<Text>,
    pub(crate) actor: Actor,
    pub(crate) connection: Connection,
    pub(crate) object: Option<(Object, Text)>,
    pub(crate) request: Request,
    pub(crate) detail: Vec<(&'static str, Value)>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(crate) struct Actor {
    pub user: Option<Text>,
    pub role: Option<Text>,
    pub key: Option<Text>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Connection {
    pub id: Option<Text>,
    pub address: Option<Text>,
    pub agent: Option<Text>,
    pub country: Option<Text>,
    pub origin: Option<Text>,
    pub transport: Option<Text>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Request {
    pub id: Option<Text>,
    pub method: Option<Text>,
    pub route: Option<Text>,
}

/// What an event is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Object {
    User,
    Room,
    Stream,
    Address,
    Connection,
    Token,
    Key,
    Setting,
    Node,
    Segment,
    Limit,
    Server,
}

impl Object {
    pub fn word(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Room => "room",
            Self::Stream => "stream",
            Self::Address => "address",
            Self::Connection => "connection",
            Self::Token => "token",
            Self::Key => "key",
            Self::Setting => "setting",
            Self::Node => "node",
            Self::Segment => "segment",
            Self::Limit => "limit",
            Self::Server => "server",
        }
    }

    /// Whether its id can tell who a person is. Rooms and streams are often named after people.
    pub(crate) fn is_personal(self) -> bool {
        matches!(self, Self::User | Self::Room | Self::Stream | Self::Address)
    }
}

/// A value of the detail.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Value {
    Text(Text),
    /// Beyond 53 bits it stands as the largest that fits.
    Number(i64),
    Truth(bool),
    List(Vec<Text>),
    /// Written by the log itself: its length and letters are known.
    Own(String),
    Owns(Vec<String>),
}

macro_rules! fields {
    ($($(#[doc = $about:literal])* $name:ident: $part:ident.$field:ident;)+) => {
        $(
            $(#[doc = $about])*
            #[must_use]
            pub fn $name(mut self, text: impl Into<Text>) -> Self {
                self.$part.$field = Some(text.into());
                self
            }
        )+
    };
}

impl Event {
    pub fn new(kind: Kind, outcome: Outcome) -> Self {
        Self {
            kind,
            outcome,
            severity: kind.severity(),
            reason: None,
            actor: Actor::default(),
            connection: Connection::default(),
            object: None,
            request: Request::default(),
            detail: Vec::new(),
        }
    }

    pub fn kind(&self) -> Kind {
        self.kind
    }

    fields! {
        /// Who did it. A personal value: it can be erased later.
        user: actor.user;
        role: actor.role;
        /// The id of the key with which somebody proved who they are.
        key: actor.key;
        /// The connection's id.
        connection: connection.id;
        /// Where it came from. A personal value.
        address: connection.address;
        /// What the client calls itself. A personal value.
        agent: connection.agent;
        country: connection.country;
        origin: connection.origin;
        /// `websocket`, `polling`, `http`, `whip`.
        transport: connection.transport;
        /// The id of the request, as the logs have it.
        request: request.id;
        method: request.method;
        /// The route as it is declared, never the path that was asked for: that may hold what must not be here.
        route: request.route;
    }

    /// Why: a slug such as `token_expired`.
    #[must_use]
    pub fn reason(mut self, slug: impl Into<Text>) -> Self {
        self.reason = Some(slug.into());
        self
    }

    #[must_use]
    pub fn severity(mut self, severity: Severity) -> Self {
        self.severity = severity;
        self
    }

    /// What it was done to.
    #[must_use]
    pub fn on(mut self, object: Object, id: impl Into<Text>) -> Self {
        self.object = Some((object, id.into()));
        self
    }

    /// A further fact. Nothing personal: what stands here cannot be erased.
    #[must_use]
    pub fn detail(mut self, name: &'static str, value: impl Into<Value>) -> Self {
        if self.detail.len() < DETAIL_ENTRIES_MAX {
            self.detail.push((name, value.into()));
        }
        self
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.into())
    }
}

impl From<Text> for Value {
    fn from(text: Text) -> Self {
        Self::Text(text)
    }
}

impl From<bool> for Value {
    fn from(truth: bool) -> Self {
        Self::Truth(truth)
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Number(number)
    }
}

impl From<u64> for Value {
    fn from(number: u64) -> Self {
        Self::Number(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

impl From<u32> for Value {
    fn from(number: u32) -> Self {
        Self::Number(number.into())
    }
}

impl From<Vec<Text>> for Value {
    /// The first eight; detections name fewer signals.
    fn from(mut list: Vec<Text>) -> Self {
        list.truncate(8);
        Self::List(list)
    }
}
