//! The order of a run: every round gives each server its turn, so that whatever else the machine does meets all alike. Turns
//! that were had before, of the same program with the same options, are not had again.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use crate::{
    Arguments,
    measure::{
        machine::{self, Machine},
        pinning::{self, Core},
    },
    notebook::{self, Note, Notebook},
    results::{Outcome, Run},
    scenario::{self, Bench, Sample, Scenario, Size},
    server::{Contender, Places},
};

pub(crate) struct Turns<'a> {
    pub(crate) arguments: &'a Arguments,
    pub(crate) wanted: &'a [Contender],
    pub(crate) places: &'a Places,
    pub(crate) notebook: Notebook,
    /// Of the server under test.
    pub(crate) program: Option<String>,
    /// No turn is begun that would not end before this.
    pub(crate) end: Option<Instant>,
}

impl<'a> Turns<'a> {
    pub(crate) fn new(arguments: &'a Arguments, wanted: &'a [Contender], places: &'a Places) -> Self {
        Self {
            arguments,
            wanted,
            places,
            notebook: Notebook::open(&places.programs),
            program: notebook::fingerprint(&places.programs.join("turnpike")),
            end: arguments.minutes.map(|minutes| Instant::now() + Duration::from_secs_f64(minutes * 60.0)),
        }
    }

    pub(crate) fn commit(&self) -> String {
        self.arguments.built_from.clone().unwrap_or_else(|| machine::commit(&self.places.root))
    }

    fn rounds(&self, scenario: &Scenario) -> u32 {
        self.arguments.rounds.unwrap_or(if self.arguments.quick { 1 } else { scenario.rounds })
    }

    fn of(&self, scenario: &Scenario) -> Vec<(u32, Contender)> {
        let contenders = || scenario.contenders.iter().filter(|contender| self.wanted.contains(contender));
        (1..=self.rounds(scenario)).flat_map(|round| contenders().map(move |one| (round, *one))).collect()
    }

    /// What must be the same for an earlier turn to count.
    fn terms(&self, scenario: &Scenario) -> String {
        let options = command_for(scenario.name, std::env::args().skip(1));
        format!("{} {options}", self.program.as_deref().unwrap_or_default())
    }

    fn expected_seconds(&self, scenario: &Scenario, contender: Contender) -> f64 {
        self.notebook.seen_seconds(scenario.name, contender).unwrap_or(scenario.turn_seconds)
    }

    /// How many turns are left of it, and how long they take by what is known.
    pub(crate) fn left(&self, scenario: &Scenario) -> (usize, Duration) {
        let terms = self.terms(scenario);
        let left = self.of(scenario).into_iter().filter(|(round, contender)| {
            self.notebook.found(scenario.name, *contender, *round, &terms).is_none()
        });
        let seconds: Vec<f64> =
            left.map(|(_, contender)| self.expected_seconds(scenario, contender)).collect();
        (seconds.len(), Duration::from_secs_f64(seconds.iter().sum()))
    }

    pub(crate) fn has_time_for(&self, expected: Duration) -> bool {
        self.end.is_none_or(|end| Instant::now() + expected <= end)
    }

    /// `None` when there was no time for all of it.
    pub(crate) fn measure(&mut self, scenario: &Scenario) -> anyhow::Result<Option<Run>> {
        let cores = pinning::cores(self.arguments.server_core, self.arguments.load_core);
        let keeps_notes = !self.arguments.quick;
        let terms = self.terms(scenario);
        if self.arguments.afresh {
            self.notebook.close(scenario.name)?;
        }
        let mut notes = Vec::new();
        for (round, contender) in self.of(scenario) {
            let label = format!("{} {round}/{} {}", scenario.name, self.rounds(scenario), contender.name());
            if let Some(note) =
                self.notebook.found(scenario.name, contender, round, &terms).filter(|_| keeps_notes)
            {
                println!("{label}: had at {}", note.date);
                notes.push(note.clone());
                continue;
            }
            let expected = Duration::from_secs_f64(self.expected_seconds(scenario, contender));
            if !self.has_time_for(expected) {
                println!("{label}: no time for another {} s", expected.as_secs());
                return Ok(None);
            }
            let note = self.turn(scenario, contender, round, cores, &terms);
            match &note.failure {
                None => println!("{label}: {}", spelled(&note.figures)),
                Some(failure) => println!("{label}: FAILED: {failure}"),
            }
            if keeps_notes {
                self.notebook.write(note.clone())?;
            }
            notes.push(note);
        }
        if keeps_notes {
            self.notebook.close(scenario.name)?;
        }
        Ok(Some(self.run_of(scenario, notes)))
    }

    fn turn(
        &self,
        scenario: &Scenario,
        contender: Contender,
        round: u32,
        (server_core, load_core): (Core, Core),
        terms: &str,
    ) -> Note {
        let size = Size {
            quick: self.arguments.quick,
            seconds: self.arguments.seconds,
            connections: self.arguments.connections,
            heartbeat_seconds: self.arguments.heartbeat_seconds,
            window: self.arguments.window,
        };
        let bench = Bench { contender, places: self.places, server_core, load_core, size };
        let begun = Instant::now();
        let outcome: anyhow::Result<Sample> = (scenario.measure)(&bench);
        let (figures, failure) = match outcome {
            Ok(sample) => (notebook::figures(&sample), None),
            Err(error) => (BTreeMap::new(), Some(format!("{error:#}"))),
        };
        Note {
            scenario: scenario.name.into(),
            contender,
            round,
            terms: terms.into(),
            date: machine::date(),
            commit: self.commit(),
            seconds: begun.elapsed().as_secs_f64(),
            figures,
            failure,
        }
    }

    fn run_of(&self, scenario: &Scenario, notes: Vec<Note>) -> Run {
        let mut contenders: BTreeMap<Contender, Outcome> = BTreeMap::new();
        let first = notes.first();
        let date = first.map_or_else(machine::date, |note| note.date.clone());
        let commit = first.map_or_else(|| self.commit(), |note| note.commit.clone());
        for note in notes {
            let outcome = contenders.entry(note.contender).or_default();
            for (key, value) in note.figures {
                outcome.figures.entry(key).or_default().push(value);
            }
            outcome.failures.extend(note.failure);
        }
        Run {
            scenario: scenario.name.into(),
            date,
            commit,
            program: self.program.clone(),
            machine: Machine::here(),
            command: command_for(scenario.name, std::env::args().skip(1)),
            rounds: self.rounds(scenario),
            contenders,
        }
    }
}

/// The command that makes this scenario's figures again: the same options, this scenario alone.
fn command_for(scenario: &str, words: impl Iterator<Item = String>) -> String {
    let mut options = String::new();
    let mut words = words.peekable();
    while let Some(word) = words.next() {
        let is_name = ["all", "compare", "micro", "--"].contains(&&*word)
            || scenario::every().any(|scenario| scenario.name == word);
        // How a run is cut into pieces changes none of its figures.
        if ["--minutes", "--built-from"].contains(&&*word) {
            words.next();
        } else if !is_name
            && !["--no-build", "--afresh", "--plan"].contains(&&*word)
            && !["--minutes=", "--built-from="].iter().any(|option| word.starts_with(option))
        {
            options.push(' ');
            options.push_str(&word);
        }
    }
    format!("cargo xtask bench -- {scenario}{options}")
}

fn spelled(figures: &BTreeMap<String, f64>) -> String {
    figures.iter().map(|(key, value)| format!("{key} {value:.4}")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_recorded_command_is_for_one_scenario() {
        let words = ["all", "--rounds", "3", "--no-build"].map(String::from);
        assert_eq!(command_for("echo", words.into_iter()), "cargo xtask bench -- echo --rounds 3");
        let words = ["echo", "session", "--servers", "floor", "--minutes", "5", "--afresh"].map(String::from);
        assert_eq!(command_for("echo", words.into_iter()), "cargo xtask bench -- echo --servers floor");
        let words = ["--", "compare", "--minutes=5"].map(String::from);
        assert_eq!(command_for("echo", words.into_iter()), "cargo xtask bench -- echo");
    }
}
