//! Histories as lines of JSON.

use std::io::{BufRead, Write};

use crate::Event;

#[derive(Debug, thiserror::Error)]
pub enum LinesError {
    #[error("the history cannot be read or written")]
    Io(#[from] std::io::Error),
    #[error("line {number} is no event")]
    Line {
        number: usize,
        #[source]
        source: serde_json::Error,
    },
}

/// Empty lines are passed over; a last line that was cut off by a killed recorder is a fault like any other.
pub fn read(from: impl BufRead) -> Result<Vec<Event>, LinesError> {
    let mut events = Vec::new();
    for (index, line) in from.lines().enumerate() {
        let line = line?;
        if !line.trim().is_empty() {
            let event = serde_json::from_str(&line);
            events.push(event.map_err(|source| LinesError::Line { number: index + 1, source })?);
        }
    }
    Ok(events)
}

pub fn write<'a>(events: impl IntoIterator<Item = &'a Event>, mut to: impl Write) -> Result<(), LinesError> {
    for (index, event) in events.into_iter().enumerate() {
        let line = serde_json::to_string(event);
        let line = line.map_err(|source| LinesError::Line { number: index + 1, source })?;
        writeln!(to, "{line}")?;
    }
    Ok(())
}
