//! A value that is never shown.

use std::fmt;
use std::path::{Path, PathBuf};

use super::mark::Mark;
use super::value::Setting;

const FILE_PREFIX: &str = "file:";

/// Text that must not reach a log, an error or a metric: it has no `Display`, and its `Debug` says only that it is there.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret {
    text: String,
    file: Option<PathBuf>,
}

impl Secret {
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), file: None }
    }

    /// The secret itself. Calls of this are what a reviewer looks for.
    pub fn reveal(&self) -> &str {
        &self.text
    }

    /// Where it was read, if that was a file.
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    pub(super) fn is_file_reference(text: &str) -> bool {
        text.starts_with(FILE_PREFIX)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Secret(hidden)")
    }
}

impl Setting for Secret {
    const EXPECTS: &'static str = "the secret itself, or `file:PATH` to read it from a file";
    const SECRET: bool = true;

    fn parse(text: &str) -> Result<Self, String> {
        let Some(path) = text.strip_prefix(FILE_PREFIX) else {
            return Ok(Self::new(text));
        };
        let content = std::fs::read_to_string(path)
            .map_err(|error| format!("names a file that cannot be read: {error}"))?;
        // Editors and `echo` end a file with a line break that nobody means to be part of the secret.
        let content = content.trim_end_matches(['\r', '\n']);
        if content.is_empty() {
            return Err("names an empty file".into());
        }
        Ok(Self { text: content.into(), file: Some(path.into()) })
    }

    fn show(&self) -> String {
        "(hidden)".into()
    }

    fn mark(&self) -> Mark {
        Mark::of(&self.text)
    }
}
