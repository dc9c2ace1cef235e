//! Logs: one line an event on stderr or in files that are rotated, JSON for machines, text for a terminal.
//!
//! Whoever logs may hand in text that a client chose: everything is escaped here, so that no line can forge another or
//! drive a terminal. A reader of stderr that stalls costs lines (counted), never a stalled thread. Knows nothing of what
//! is logged.

mod dial;
mod escape;
mod file;
mod layer;
mod line;
mod time;
mod writer;

use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::reload;
use tracing_subscriber::util::SubscriberInitExt as _;

pub use dial::{Dial, Turned};
pub use escape::escaped;
use file::LogFile;
pub use file::LogFileError;
pub use writer::Writer;

use crate::config::{ByteSize, Setting};

crate::section! {
    /// Logs, written to stderr or into files.
    pub struct Log in "log" {
        /// What is logged: one level, or levels by part of the program (`info,turnpike_engine=debug`).
        level: Levels = "info", "LOG_LEVEL";
        /// Form of a line; `auto` is text on a terminal and JSON elsewhere.
        format: Format = "auto", "TURNPIKE_LOG_FORMAT";
        /// File that is written in place of stderr. When it is full or old it becomes `NAME.1`, that `NAME.2` and so on; SIGHUP opens it anew.
        file: Option<PathBuf> = "", "LOG_FILE";
        /// Bytes of one log file.
        file_bytes_max: ByteSize = "64MiB", "LOG_MAX_BYTES", "4KiB" to "100GiB";
        /// Age of the log file that is written.
        file_age_max: Duration = "1d", "LOG_MAX_AGE", "1m" to "365d";
        /// Log files that are kept, the one that is written included; the oldest goes.
        files_max: usize = "8", "LOG_MAX_FILES", "1" to "1000";
    }
}

crate::choice! {
    pub enum Format {
        Auto = "auto",
        Json = "json",
        Text = "text",
    }
    expects "`auto`, `json` or `text`"
}

/// Which events are logged.
#[derive(Debug, Clone, PartialEq)]
pub struct Levels {
    text: String,
    targets: Targets,
}

impl Setting for Levels {
    const EXPECTS: &'static str =
        "`error`, `warn`, `info`, `debug`, `trace` or `off`, also as `info,PART=debug`";

    fn parse(text: &str) -> Result<Self, String> {
        // `Targets` takes any single word that is no level for the name of a part, and so would swallow a slip.
        let levels_known = text.split(',').all(|directive| {
            let level = directive.split_once('=').map_or(directive, |(_, level)| level).trim();
            ["error", "warn", "info", "debug", "trace", "off"].contains(&level.to_ascii_lowercase().as_str())
        });
        match text.parse() {
            Ok(targets) if levels_known => Ok(Self { text: text.into(), targets }),
            _ => Err("names no level that is known here".into()),
        }
    }

    fn show(&self) -> String {
        self.text.clone()
    }
}

impl Log {
    /// Makes this the log of the process, panics included. The writer tells what was dropped, and flushes at the end; the
    /// dial changes what is logged meanwhile.
    ///
    /// Later calls in one process change nothing; tests may start several systems.
    pub fn install(&self) -> Result<(Writer, Dial), LogFileError> {
        let text = match self.format {
            Format::Auto => self.file.is_none() && std::io::stderr().is_terminal(),
            Format::Json => false,
            Format::Text => true,
        };
        let form = if text { line::Form::Text } else { line::Form::Json };
        let writer = match &self.file {
            Some(path) => {
                let limits = file::Limits {
                    bytes_max: self.file_bytes_max.0 as u64,
                    age_max: self.file_age_max,
                    files_max: self.files_max,
                };
                Writer::to_file(LogFile::open(path, limits, SystemTime::now())?)
            }
            None => Writer::to_stderr(),
        };
        let layer = layer::Lines::new(form, writer.clone());
        let (targets, handle) = reload::Layer::new(self.level.targets.clone());
        let installed = tracing_subscriber::registry().with(targets).with(layer).try_init();
        if installed.is_ok() {
            log_panics(writer.clone());
        }
        Ok((writer, Dial::new(self.level.clone(), handle)))
    }
}

/// A panic is an event like others: the default hook would print lines that no JSON reader can use.
fn log_panics(writer: Writer) {
    std::panic::set_hook(Box::new(move |panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let thread = std::thread::current();
        let cause = panic.payload_as_str().unwrap_or("a value that is no text");
        let backtrace = std::backtrace::Backtrace::capture();
        let backtrace =
            (backtrace.status() == std::backtrace::BacktraceStatus::Captured).then(|| backtrace.to_string());
        tracing::error!(cause, place, thread = thread.name().unwrap_or("unnamed"), backtrace, "panic");
        // Should the process end of it, this is the line that must not be lost.
        writer.flush();
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_words_of_tracing_and_nothing_else() {
        for text in ["info", "off", "WARN", "info,turnpike_engine=debug", "turnpike_gateway::gate=trace"] {
            assert!(Levels::parse(text).is_ok(), "{text}");
        }
        for text in ["", "verbose", "info,turnpike_engine", "turnpike_engine=loud", "debug,"] {
            assert!(Levels::parse(text).is_err(), "{text}");
        }
    }
}
