//! What is told of one piece of work.

use crate::TraceContext;

/// As OTLP numbers them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Internal = 1,
    Server = 2,
    Producer = 4,
    Consumer = 5,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Text(String),
    Number(u64),
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<u64> for Value {
    fn from(number: u64) -> Self {
        Self::Number(number)
    }
}

/// Of a text that somebody chose, so much is told.
pub(crate) const TEXT_BYTES_MAX: usize = 256;

#[derive(Debug, Clone, PartialEq)]
pub struct Span {
    pub context: TraceContext,
    pub parent: Option<u64>,
    pub name: &'static str,
    pub kind: Kind,
    /// Nanoseconds since 1970.
    pub begun_ns: u64,
    pub ended_ns: u64,
    pub attributes: Vec<(&'static str, Value)>,
    /// Spans of other traces that this one has to do with.
    pub links: Vec<TraceContext>,
    /// It failed, and why.
    pub failure: Option<&'static str>,
}
