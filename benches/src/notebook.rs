//! What is written down after each turn of a server, so that a run which was stopped, or had only some minutes, goes on where it
//! was; and how long turns take. It lies beside the built programs and belongs to nobody else.

use std::{
    collections::BTreeMap,
    fs,
    io::{Read as _, Write as _},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::{scenario::Sample, server::Contender};

const NAME: &str = "bench-notebook.jsonl";

/// One server, measured once.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Note {
    pub(crate) scenario: String,
    pub(crate) contender: Contender,
    pub(crate) round: u32,
    /// What must be the same for a note to count: the program under test and the options.
    pub(crate) terms: String,
    pub(crate) date: String,
    pub(crate) commit: String,
    pub(crate) seconds: f64,
    pub(crate) figures: BTreeMap<String, f64>,
    /// Why there are no figures.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) failure: Option<String>,
}

#[derive(Debug)]
pub(crate) struct Notebook {
    path: PathBuf,
    notes: Vec<Note>,
}

impl Notebook {
    pub(crate) fn open(programs: &Path) -> Self {
        let path = programs.join(NAME);
        let text = fs::read_to_string(&path).unwrap_or_default();
        // A line that was cut off when the machine went down is a turn that is taken again.
        let notes = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        Self { path, notes }
    }

    /// What this turn has found, if it was had on these terms and not yet recorded.
    pub(crate) fn found(
        &self,
        scenario: &str,
        contender: Contender,
        round: u32,
        terms: &str,
    ) -> Option<&Note> {
        self.notes.iter().find(|note| {
            note.scenario == scenario
                && note.contender == contender
                && note.round == round
                && note.terms == terms
        })
    }

    pub(crate) fn write(&mut self, note: Note) -> anyhow::Result<()> {
        self.notes.push(note);
        self.save()
    }

    /// The scenario is recorded, or is to be begun anew: its notes only tell how long turns take from now on.
    pub(crate) fn close(&mut self, scenario: &str) -> anyhow::Result<()> {
        for note in self.notes.iter_mut().filter(|note| note.scenario == scenario) {
            note.terms.clear();
        }
        self.save()
    }

    /// How long this server's last turn took.
    pub(crate) fn seen_seconds(&self, scenario: &str, contender: Contender) -> Option<f64> {
        let like = |note: &&Note| note.scenario == scenario && note.contender == contender;
        self.notes.iter().rev().find(like).map(|note| note.seconds)
    }

    fn save(&mut self) -> anyhow::Result<()> {
        // Of those that no longer count the last of each kind tells how long it took.
        let mut last = BTreeMap::new();
        for (at, note) in self.notes.iter().enumerate() {
            last.insert((note.scenario.clone(), note.contender), at);
        }
        let mut at = 0;
        self.notes.retain(|note| {
            at += 1;
            !note.terms.is_empty() || last.get(&(note.scenario.clone(), note.contender)) == Some(&(at - 1))
        });
        let mut text = Vec::new();
        for note in &self.notes {
            serde_json::to_writer(&mut text, note)?;
            text.push(b'\n');
        }
        let written = self.path.with_extension("new");
        fs::File::create(&written)?.write_all(&text)?;
        fs::rename(written, &self.path)?;
        Ok(())
    }
}

/// Tells programs apart: FNV-1a over the file, which needs to be no secret.
pub(crate) fn fingerprint(program: &Path) -> Option<String> {
    let mut file = fs::File::open(program).ok()?;
    let mut buffer = vec![0; 1 << 20];
    let mut state: u64 = 0xcbf2_9ce4_8422_2325;
    loop {
        let read = file.read(&mut buffer).ok()?;
        if read == 0 {
            return Some(format!("{state:016x}"));
        }
        for byte in &buffer[..read] {
            state = (state ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}

/// By name, as they are kept.
pub(crate) fn figures(sample: &Sample) -> BTreeMap<String, f64> {
    sample.iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(round: u32, seconds: f64) -> Note {
        Note {
            scenario: "echo".into(),
            contender: Contender::Node,
            round,
            terms: "a program".into(),
            date: "2026-01-01T00:00:00Z".into(),
            commit: "abc".into(),
            seconds,
            figures: [("k".to_owned(), 1.5)].into(),
            failure: None,
        }
    }

    #[test]
    fn a_turn_is_found_again_until_it_is_recorded() {
        let directory = std::env::temp_dir().join(format!("bench-notebook-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let mut notebook = Notebook::open(&directory);
        assert_eq!(notebook.seen_seconds("echo", Contender::Node), None);
        notebook.write(note(1, 3.0)).unwrap();
        notebook.write(note(2, 4.0)).unwrap();

        let mut again = Notebook::open(&directory);
        assert_eq!(again.found("echo", Contender::Node, 2, "a program"), Some(&note(2, 4.0)));
        assert_eq!(again.found("echo", Contender::Node, 2, "another program"), None);
        assert_eq!(again.found("echo", Contender::Floor, 2, "a program"), None);
        assert_eq!(again.found("echo", Contender::Node, 3, "a program"), None);
        again.close("echo").unwrap();

        // The last one still tells how long it took, and a line that was cut off is no harm.
        let path = directory.join(NAME);
        let mut text = fs::read_to_string(&path).unwrap();
        assert_eq!(text.lines().count(), 1);
        text.push_str("{\"scenario\":\"ec");
        fs::write(&path, text).unwrap();
        let closed = Notebook::open(&directory);
        fs::remove_dir_all(&directory).unwrap();
        assert_eq!(closed.found("echo", Contender::Node, 2, "a program"), None);
        assert_eq!(closed.seen_seconds("echo", Contender::Node), Some(4.0));
    }
}
