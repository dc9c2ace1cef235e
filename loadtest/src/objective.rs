//! What must hold of a run: `p99=50ms`, `send.max=1s`, `lost=0`, `errors=0.1%`. Each is an upper bound.

use std::{fmt, str::FromStr};

use serde::Serialize;

use crate::{accounting::Account, figures::Figures, figures::Measure};

#[derive(Clone, Debug, PartialEq)]
pub struct Objective {
    text: String,
    subject: Subject,
    at_most: f64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Subject {
    /// In microseconds.
    Time {
        measure: Measure,
        share: f64,
    },
    Count(Count),
    /// In percent of all requests.
    ErrorShare,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Count {
    Lost,
    Doubled,
    Disordered,
    Late,
    Altered,
    Resyncs,
    Unanswered,
    Refused,
    FramesLost,
    Freezes,
    Errors,
}

const COUNTS: [(&str, Count); 11] = [
    ("lost", Count::Lost),
    ("doubled", Count::Doubled),
    ("disordered", Count::Disordered),
    ("late", Count::Late),
    ("altered", Count::Altered),
    ("resyncs", Count::Resyncs),
    ("unanswered", Count::Unanswered),
    ("refused", Count::Refused),
    ("frames_lost", Count::FramesLost),
    ("freezes", Count::Freezes),
    ("errors", Count::Errors),
];

const SHARES: [(&str, f64); 5] = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p999", 0.999), ("max", 1.0)];

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ObjectiveError {
    #[error("an objective is written name=bound, like p99=50ms or lost=0, not {0:?}")]
    Form(String),
    #[error(
        "there is no objective {0:?}: it is one of {names}, or p50, p90, p99, p999, max of a measure (send.p99), by itself of \
         deliveries; measures are {measures}",
        names = COUNTS.map(|(name, _)| name).join(", "),
        measures = Measure::ALL.iter().map(|measure| measure.name()).collect::<Vec<_>>().join(", ")
    )]
    Name(String),
    #[error("{bound:?} is no bound for {name}: it takes {takes}")]
    Bound { name: String, bound: String, takes: &'static str },
}

impl FromStr for Objective {
    type Err = ObjectiveError;

    fn from_str(text: &str) -> Result<Self, ObjectiveError> {
        let (name, bound) = text.split_once('=').ok_or_else(|| ObjectiveError::Form(text.to_owned()))?;
        let (name, bound) = (name.trim(), bound.trim());
        let subject = subject(name).ok_or_else(|| ObjectiveError::Name(name.to_owned()))?;
        let fault = |takes| ObjectiveError::Bound { name: name.to_owned(), bound: bound.to_owned(), takes };
        let (subject, at_most) = match subject {
            Subject::Time { .. } => {
                (subject, microseconds(bound).ok_or_else(|| fault("a time, like 50ms, 800us or 1.5s"))?)
            }
            Subject::Count(Count::Errors) if bound.ends_with('%') => {
                let percent = positive(bound.trim_end_matches('%'));
                (Subject::ErrorShare, percent.ok_or_else(|| fault("a count, or a share like 0.1%"))?)
            }
            _ => (subject, bound.parse::<u32>().map(f64::from).map_err(|_| fault("a count"))?),
        };
        Ok(Self { text: format!("{name}={bound}"), subject, at_most })
    }
}

fn subject(name: &str) -> Option<Subject> {
    if let Some((_, count)) = COUNTS.iter().find(|(known, _)| *known == name) {
        return Some(Subject::Count(*count));
    }
    let (measure, share) = match name.split_once('.') {
        Some((measure, share)) => (Measure::parse(measure)?, share),
        None => (Measure::Delivery, name),
    };
    let (_, share) = SHARES.iter().find(|(known, _)| *known == share)?;
    Some(Subject::Time { measure, share: *share })
}

fn microseconds(bound: &str) -> Option<f64> {
    // The longest unit first: `ms` ends in `s` as well.
    let units = [("us", 1.0), ("ms", 1_000.0), ("s", 1_000_000.0)];
    units.iter().find_map(|(unit, factor)| Some(positive(bound.strip_suffix(unit)?)? * factor))
}

fn positive(number: &str) -> Option<f64> {
    number.trim().parse().ok().filter(|number: &f64| number.is_finite() && *number >= 0.0)
}

/// What became of an objective.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    pub objective: String,
    pub found: String,
    pub held: bool,
}

impl Objective {
    /// An objective about what never happened has not held: a run that sent nothing proves nothing.
    pub fn judge(&self, figures: &Figures, account: &Account) -> Outcome {
        let (found, text) = match self.subject {
            Subject::Time { measure, share } => match figures.at(measure, share) {
                Some(us) => (us as f64, duration(us)),
                None => (f64::INFINITY, format!("no {}", measure.name())),
            },
            Subject::Count(count) => {
                let found = match count {
                    Count::Lost => account.lost,
                    Count::Doubled => account.doubled,
                    Count::Disordered => account.disordered,
                    Count::Late => account.late,
                    Count::Altered => account.altered,
                    Count::Resyncs => account.resyncs,
                    Count::Unanswered => account.unanswered,
                    Count::Refused => account.refused,
                    Count::FramesLost => account.frames_lost,
                    Count::Freezes => figures.count(Measure::Freeze),
                    Count::Errors => figures.failures(),
                };
                (found as f64, found.to_string())
            }
            Subject::ErrorShare => {
                let requests = Measure::ALL.iter().filter(|measure| measure.is_request());
                let all: u64 = requests.map(|one| figures.count(*one) + figures.failures_of(*one)).sum();
                let percent = if all == 0 { 100.0 } else { figures.failures() as f64 * 100.0 / all as f64 };
                (percent, format!("{percent:.3}%"))
            }
        };
        Outcome { objective: self.text.clone(), found: text, held: found <= self.at_most }
    }
}

impl fmt::Display for Objective {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Microseconds for people, with three digits.
pub fn duration(us: u64) -> String {
    let (number, unit) = match us {
        0..1_000 => return format!("{us} us"),
        1_000..1_000_000 => (us as f64 / 1e3, "ms"),
        _ => (us as f64 / 1e6, "s"),
    };
    let digits = if number < 10.0 { 2 } else { usize::from(number < 100.0) };
    format!("{number:.digits$} {unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(objective: &str, figures: &Figures, account: &Account) -> (bool, String) {
        let outcome = objective.parse::<Objective>().unwrap().judge(figures, account);
        (outcome.held, outcome.found)
    }

    #[test]
    fn bounds_are_upper_bounds() {
        let mut figures = Figures::default();
        for ms in 1..=100 {
            figures.record(Measure::Delivery, ms * 1_000);
        }
        figures.record(Measure::Send, 500);
        figures.failed(Measure::Send, "refused");
        let account = Account { lost: 2, ..Account::default() };
        let table = [
            ("p99=100ms", true),
            ("p99=98ms", false),
            ("p50=0.051s", true),
            ("max=101000us", true),
            ("send.max=1ms", true),
            ("send.p99=499us", false),
            ("lost=2", true),
            ("lost=1", false),
            ("doubled=0", true),
            ("errors=1", true),
            ("errors=0", false),
            ("errors=50%", true),
            ("errors=49%", false),
        ];
        for (objective, held) in table {
            assert_eq!(found(objective, &figures, &account).0, held, "{objective}");
        }
    }

    #[test]
    fn what_never_happened_does_not_hold() {
        let (held, text) = found("connect.p99=1s", &Figures::default(), &Account::default());
        assert_eq!((held, text.as_str()), (false, "no connect"));
        assert!(!found("errors=1%", &Figures::default(), &Account::default()).0);
    }

    #[test]
    fn faults_say_what_would_be_right() {
        let fault = |text: &str| text.parse::<Objective>().unwrap_err().to_string();
        assert!(fault("p99").contains("p99=50ms"));
        assert!(fault("p98=1ms").contains("lost, doubled"));
        assert!(fault("flight.p99=1ms").contains("delivery"));
        assert!(fault("p99=50").contains("takes a time"));
        assert!(fault("p99=-1ms").contains("takes a time"));
        assert!(fault("p99=nanms").contains("takes a time"));
        assert!(fault("lost=0.5").contains("takes a count"));
    }

    #[test]
    fn times_are_written_for_people() {
        assert_eq!(
            [7, 1_234, 45_678, 456_789, 2_500_000].map(duration),
            ["7 us", "1.23 ms", "45.7 ms", "457 ms", "2.50 s"]
        );
    }
}
