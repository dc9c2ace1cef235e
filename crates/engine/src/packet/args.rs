//! The arguments of an event or an ack, as JSON text with its attachments beside it.

use bytes::Bytes;
use serde::Deserialize;

use super::Str;

/// Neutral arguments, whatever form the client speaks.
#[derive(Debug, Clone)]
pub struct Args {
    text: Str,
    attachments: Vec<Bytes>,
}

#[derive(Debug, thiserror::Error)]
pub enum ArgsError {
    #[error("argument {index} is missing")]
    Missing { index: usize },
    #[error("argument {index} is not what was expected")]
    Mismatch { index: usize, #[source] source: serde_json::Error },
}

impl Args {
    /// The event's name; an ack has none.
    pub fn name(&self) -> Option<&str> {
        None
    }

    /// Arguments, the name not counted.
    pub fn len(&self) -> usize {
        0
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// JSON text of an argument.
    pub fn raw(&self, index: usize) -> Option<&str> {
        let _ = index;
        Some(&self.text)
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

    /// JSON text of an argument in which each binary value stands as `{"$binary":"<base64>"}`.
    pub fn to_raw_data(&self, index: usize) -> Option<String> {
        self.raw(index).map(str::to_owned)
    }

    /// Bytes that these arguments hold in memory: text and attachments.
    pub fn byte_len(&self) -> usize {
        self.text.len() + self.attachments.iter().map(Bytes::len).sum::<usize>()
    }
}
