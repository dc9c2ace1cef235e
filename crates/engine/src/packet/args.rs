//! The arguments of an event or an ack: JSON text that has been checked, where each argument stands in it, and the
//! attachments beside it. It must not know which form of packet they came in.

use std::ops::Range;

use bytes::Bytes;
use serde::Deserialize;
use smallvec::SmallVec;

use super::placeholder::Announced;
use super::scan::{Scanner, unescape};
use super::{Limits, PacketError, Str, binary_text, check};

/// Neutral arguments, whatever form the client speaks.
#[derive(Debug, Clone)]
pub struct Args {
    /// An array.
    text: Str,
    /// Where the array's elements stand, the name included. Most events have one argument or two.
    spans: SmallVec<[Span; 4]>,
    name: Name,
    attachments: Vec<Bytes>,
}

#[derive(Debug, Clone, Copy)]
struct Span {
    start: u32,
    end: u32,
}

#[derive(Debug, Clone)]
enum Name {
    /// Acks.
    None,
    /// The first element's text between its quotes.
    Plain,
    /// The first element has escapes.
    Unescaped(Box<str>),
}

#[derive(Debug, thiserror::Error)]
pub enum ArgsError {
    #[error("argument {index} is missing")]
    Missing { index: usize },
    #[error("argument {index} is not what was expected")]
    Mismatch {
        index: usize,
        #[source]
        source: serde_json::Error,
    },
}

impl Args {
    /// The event's name; an ack has none.
    pub fn name(&self) -> Option<&str> {
        match &self.name {
            Name::None => None,
            Name::Plain => self.element(0).map(|quoted| &quoted[1..quoted.len() - 1]),
            Name::Unescaped(name) => Some(name),
        }
    }

    /// Arguments, the name not counted.
    pub fn len(&self) -> usize {
        self.spans.len() - self.first()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// JSON text of an argument.
    pub fn raw(&self, index: usize) -> Option<&str> {
        self.element(index.checked_add(self.first())?)
    }

    /// JSON text of the whole array, the name included.
    pub fn text(&self) -> &Str {
        &self.text
    }

    pub fn get<'a, T: Deserialize<'a>>(&'a self, index: usize) -> Result<T, ArgsError> {
        let raw = self.raw(index).ok_or(ArgsError::Missing { index })?;
        serde_json::from_str(raw).map_err(|source| ArgsError::Mismatch { index, source })
    }

    pub fn attachments(&self) -> &[Bytes] {
        &self.attachments
    }

    /// JSON text of an argument in which each binary value stands as `{"$binary":"<base64>"}`, as raw clients see it.
    pub fn to_raw_data(&self, index: usize) -> Option<String> {
        self.raw(index).map(|json| binary_text::embed(json, &self.attachments).into_owned())
    }

    /// Bytes that these arguments hold in memory: text and attachments.
    pub fn byte_len(&self) -> usize {
        self.text.len() + self.attachments.iter().map(Bytes::len).sum::<usize>()
    }

    /// Checks the array of an event, which has its name in front. `attachments` of them may come later.
    pub(super) fn event(text: Str, attachments: usize, limits: &Limits) -> Result<Self, PacketError> {
        let mut args = Self::ack(text, attachments, limits)?;
        let quoted = args.element(0).filter(|name| name.starts_with('"')).ok_or(PacketError::EventName)?;
        args.name = Name::of(&quoted[1..quoted.len() - 1]);
        let name = args.name().unwrap_or_default();
        check::event_name(name, limits)?;
        Ok(args)
    }

    /// Checks the array of an ack.
    pub(super) fn ack(text: Str, attachments: usize, limits: &Limits) -> Result<Self, PacketError> {
        // Positions are kept in four bytes.
        if u32::try_from(text.len()).is_err() {
            return Err(PacketError::TooLarge { bytes_max: u32::MAX as usize });
        }
        // Space around the array is JSON, but would come between an ack's number and the array when the text is sent on.
        let array = text.trim_matches([' ', '\t', '\r', '\n']);
        let text = if array.len() == text.len() { text } else { Str::copy_from_slice(array) };
        let mut spans = SmallVec::new();
        let mut scanner = Scanner::new(&text, limits, Announced::new(attachments));
        scanner.array(|span| {
            if spans.len() == limits.arguments_max {
                return Err(PacketError::TooManyArguments { arguments_max: limits.arguments_max });
            }
            spans.push(span.into());
            Ok(())
        })?;
        scanner.placeholders.all_used()?;
        Ok(Self { text, spans, name: Name::None, attachments: Vec::new() })
    }

    /// An event with one argument. `name` is the text of a JSON string, quotes included, and both have been checked.
    pub(super) fn of_checked(name: &str, argument: &str) -> Self {
        let text = format!("[{name},{argument}]");
        let comma = 1 + name.len();
        let spans = [1..comma, comma + 1..text.len() - 1].map(Span::from);
        let name = Name::of(&name[1..name.len() - 1]);
        Self { text: Str::from(text), spans: spans.into_iter().collect(), name, attachments: Vec::new() }
    }

    pub(super) fn attach(&mut self, attachments: Vec<Bytes>) {
        self.attachments = attachments;
    }

    /// Index of the first argument among the elements.
    fn first(&self) -> usize {
        usize::from(!matches!(self.name, Name::None))
    }

    fn element(&self, index: usize) -> Option<&str> {
        self.spans.get(index).map(|span| &self.text[span.start as usize..span.end as usize])
    }
}

impl Name {
    /// From a string's text between its quotes.
    fn of(text: &str) -> Self {
        if text.contains('\\') {
            Self::Unescaped(unescape(text).unwrap_or_default().into_boxed_str())
        } else {
            Self::Plain
        }
    }
}

impl From<Range<usize>> for Span {
    fn from(range: Range<usize>) -> Self {
        Self { start: range.start as u32, end: range.end as u32 }
    }
}
