//! The TOML file: two levels, sections and keys.

use std::path::Path;

use toml::de::{DeTable, DeValue};

use super::fault::{Fault, Faults, Place};
use super::key::{Key, Section};
use super::load::Entry;
use super::nearest::nearest;
use super::value::Form;

/// Reads every entry that can be read, and reports every one that cannot.
pub(super) fn entries(path: &Path, sections: &[Section], faults: &mut Faults) -> Vec<Entry> {
    match std::fs::read_to_string(path) {
        Ok(text) => Reader { path, text: &text, sections, faults }.entries(),
        Err(error) => {
            faults.push(Fault {
                key: "config".into(),
                place: Place::File { path: path.into(), line: None },
                value: None,
                problem: format!("the file cannot be read: {error}"),
                remedy: "expected a TOML file".into(),
            });
            Vec::new()
        }
    }
}

struct Reader<'a> {
    path: &'a Path,
    text: &'a str,
    sections: &'a [Section],
    faults: &'a mut Faults,
}

impl Reader<'_> {
    fn entries(mut self) -> Vec<Entry> {
        let (document, errors) = DeTable::parse_recoverable(self.text);
        for error in errors {
            let offset = error.span().map_or(0, |span| span.start);
            // Not the line itself: it may hold a secret.
            self.fault("config", offset, None, error.message().to_owned(), "expected TOML".into());
        }
        let mut entries = Vec::new();
        let faults_of_others = self.faults.0.len();
        for (name, value) in document.get_ref() {
            let offset = name.span().start;
            let name = name.get_ref().as_ref();
            let Some(section) = self.sections.iter().find(|section| section.name == name) else {
                let paths = self.sections.iter().flat_map(|section| section.keys).map(|key| key.path);
                let remedy =
                    match paths.clone().find(|path| path.split_once('.').is_some_and(|(_, key)| key == name))
                    {
                        Some(path) => format!("did you mean {path}?"),
                        None => did_you_mean(nearest(name, self.sections.iter().map(|section| section.name))),
                    };
                self.fault(name, offset, None, "is not a section that is known here".into(), remedy);
                continue;
            };
            let DeValue::Table(table) = value.get_ref() else {
                let remedy = format!("expected a table [{name}]");
                self.fault(name, offset, None, "is a section, not a value".into(), remedy);
                continue;
            };
            for (name, value) in table {
                let path = format!("{}.{}", section.name, name.get_ref());
                self.entry(section, &path, name.span().start, value.get_ref(), &mut entries);
            }
        }
        // The parser sorts tables by name; people read a file from above.
        self.faults.0[faults_of_others..].sort_by_key(|fault| fault.place.line());
        entries.sort_by_key(|entry| entry.place.line());
        entries
    }

    fn entry(
        &mut self,
        section: &Section,
        path: &str,
        offset: usize,
        value: &DeValue<'_>,
        entries: &mut Vec<Entry>,
    ) {
        let Some(key) = section.keys.iter().find(|key| key.path == path) else {
            let everywhere = self.sections.iter().flat_map(|section| section.keys).map(|key| key.path);
            let remedy = did_you_mean(nearest(path, everywhere));
            return self.fault(path, offset, None, "is not a key that is known here".into(), remedy);
        };
        let Some(text) = text_of(key, value) else {
            let problem = match (key.kind.form, value.type_str()) {
                (Form::List, "array") => "has elements that are not text".into(),
                (_, other) => format!("is of TOML type {other}"),
            };
            return self.fault(path, offset, None, problem, format!("expected {}", key.expects()));
        };
        entries.push(Entry { key, text, place: self.place(offset) });
    }

    fn fault(&mut self, key: &str, offset: usize, value: Option<String>, problem: String, remedy: String) {
        let place = self.place(offset);
        self.faults.push(Fault { key: key.into(), place, value, problem, remedy });
    }

    fn place(&self, offset: usize) -> Place {
        let line = self.text.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1;
        Place::File { path: self.path.into(), line: Some(line) }
    }
}

fn did_you_mean(known: Option<String>) -> String {
    known.map_or_else(
        || "docs/configuration.md lists those that are".into(),
        |known| format!("did you mean {known}?"),
    )
}

/// The text that the environment would give for the same value; `None` for a type that suits no key of this form.
fn text_of(key: &Key, value: &DeValue<'_>) -> Option<String> {
    match (value, key.kind.form) {
        (DeValue::String(text), _) => Some(text.to_string()),
        (DeValue::Integer(number), _) => {
            i128::from_str_radix(number.as_str(), number.radix()).ok().map(|number| number.to_string())
        }
        (DeValue::Float(number), _) => Some(number.as_str().to_owned()),
        (DeValue::Boolean(truth), _) => Some(truth.to_string()),
        (DeValue::Array(elements), Form::List) => {
            let texts: Option<Vec<_>> = elements.iter().map(|element| element.get_ref().as_str()).collect();
            Some(texts?.join(","))
        }
        _ => None,
    }
}
