//! Binary values inside JSON text: `{"$binary":"<base64>"}`, for clients of the plain JSON protocol.

use std::borrow::Cow;
use std::ops::Range;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;

use super::placeholder::Placeholders;
use super::scan::Scanner;
use super::{Limits, PacketError};

/// Puts the attachments in place of the placeholders that name them. Text that is not valid, or a placeholder that names
/// no attachment, stays as it is.
pub(super) fn embed<'a>(json: &'a str, attachments: &[Bytes]) -> Cow<'a, str> {
    if attachments.is_empty() {
        return Cow::Borrowed(json);
    }
    let embedding = Embedding { json, attachments, copied: 0, out: String::new() };
    let mut scanner = Scanner::new(json, &Limits::TRUSTING, embedding);
    if scanner.anything().is_err() {
        return Cow::Borrowed(json);
    }
    let Embedding { copied, mut out, .. } = scanner.placeholders;
    out.push_str(&json[copied..]);
    Cow::Owned(out)
}

struct Embedding<'a> {
    json: &'a str,
    attachments: &'a [Bytes],
    /// How much of `json` is in `out`.
    copied: usize,
    out: String,
}

impl Placeholders for Embedding<'_> {
    fn found(&mut self, num: u64, span: Range<usize>) -> Result<(), PacketError> {
        if let Some(bytes) = usize::try_from(num).ok().and_then(|num| self.attachments.get(num)) {
            self.out.push_str(&self.json[self.copied..span.start]);
            self.out.push_str("{\"$binary\":\"");
            BASE64_STANDARD.encode_string(bytes, &mut self.out);
            self.out.push_str("\"}");
            self.copied = span.end;
        }
        Ok(())
    }
}
