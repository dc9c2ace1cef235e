//! What a run is told as: a table for people, JSON for programs, a page for whoever was not there. Values in, text out,
//! and at the end into files.

mod page;
mod plot;
mod table;

use std::path::Path;

use anyhow::Context as _;
use serde::Serialize;

use crate::{
    accounting::Account,
    figures::{Failures, Second, Times},
    generator::Generator,
    objective::Outcome,
    profile,
};

pub use page::page;
pub use table::table;

/// Whether there can be files where they were asked for: nobody wants to hear of that after the run.
pub fn can_write(files: &[Option<&Path>]) -> anyhow::Result<()> {
    for path in files.iter().flatten() {
        let is_new = !path.exists();
        let opened = std::fs::OpenOptions::new().append(true).create(true).open(path);
        opened.with_context(|| format!("{} cannot be written", path.display()))?;
        if is_new {
            // A run that is not made leaves no empty report.
            let _ = std::fs::remove_file(path);
        }
    }
    Ok(())
}

/// Writes the files that were asked for.
pub fn write(summary: &Summary, html: Option<&Path>, json: Option<&Path>) -> anyhow::Result<()> {
    let put = |path: &Path, text: String| {
        std::fs::write(path, text).with_context(|| format!("writing {}", path.display()))
    };
    if let Some(path) = html {
        put(path, page(summary))?;
    }
    if let Some(path) = json {
        put(path, summary.json())?;
    }
    Ok(())
}

/// What ships, a line each.
pub fn profiles() -> String {
    let lines: Vec<String> =
        profile::built_in_abouts().map(|(name, about)| format!("{name:<24} {about}\n")).collect();
    lines.concat()
}

/// All that is known of a run when it is over.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Summary {
    pub profile: String,
    pub about: String,
    pub host: String,
    pub users: u32,
    pub processes: u32,
    /// Milliseconds since 1970.
    pub began_ms: u64,
    pub seconds: f64,
    pub times: Vec<Times>,
    pub account: Account,
    /// The first of what was lost, doubled or out of order, to look for in logs.
    pub examples: Vec<String>,
    pub failures: Vec<Failures>,
    pub objectives: Vec<Outcome>,
    pub generator: Generator,
    pub timeline: Vec<Second>,
}

impl Summary {
    pub fn held(&self) -> bool {
        self.objectives.iter().all(|outcome| outcome.held)
    }

    /// What the process tells by its exit code.
    pub fn verdict(&self) -> Verdict {
        match (self.held(), self.generator.kept_up()) {
            (true, true) => Verdict::Held,
            (true, false) => Verdict::Unsure,
            (false, _) => Verdict::Missed,
        }
    }

    pub fn json(&self) -> String {
        serde_json::to_string_pretty(self).expect("numbers and strings are always JSON")
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Held,
    /// An objective did not hold.
    Missed,
    /// They held, but the generator was too slow to say so.
    Unsure,
}

impl Verdict {
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Held => 0,
            Self::Missed => 1,
            Self::Unsure => 3,
        }
    }

    pub fn sentence(self) -> &'static str {
        match self {
            Self::Held => "All objectives held.",
            Self::Missed => "Not all objectives held.",
            Self::Unsure => {
                "The objectives held, but the generator did not keep up: the figures do not count."
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary(held: bool, note: Option<&str>) -> Summary {
        Summary {
            profile: "chat<rooms>".into(),
            objectives: vec![Outcome { objective: "lost=0".into(), found: "1".into(), held }],
            generator: Generator {
                cpu_seconds: 3.0,
                server_cpu_seconds: Some(12.0),
                notes: note.map(ToOwned::to_owned).into_iter().collect(),
                ..Generator::default()
            },
            account: Account { sent: 12_345, lost: 1, ..Account::default() },
            timeline: (0..5)
                .map(|at_s| Second { at_s, delivery_p99_us: Some(1_000 * at_s), ..Second::default() })
                .collect(),
            ..Summary::default()
        }
    }

    #[test]
    fn the_exit_code_tells_how_it_went() {
        assert_eq!(summary(true, None).verdict().exit_code(), 0);
        assert_eq!(summary(false, None).verdict().exit_code(), 1);
        assert_eq!(summary(true, Some("slow")).verdict().exit_code(), 3);
        assert_eq!(summary(false, Some("slow")).verdict().exit_code(), 1);
    }

    #[test]
    fn each_form_has_what_matters() {
        let summary = summary(false, Some("slow"));
        let text = table(&summary);
        assert!(text.contains("12 345") && text.contains("MISSED") && text.contains("slow"), "{text}");
        assert!(text.contains("3.0 s of CPU in 0.0 s (0.25 of the server's 12.0 s)"), "{text}");
        let page = page(&summary);
        assert!(page.contains("chat&lt;rooms&gt;") && !page.contains("chat<rooms>"));
        assert!(page.contains("<svg") && !page.contains("<script"));
        let json: serde_json::Value = serde_json::from_str(&summary.json()).unwrap();
        assert_eq!(json["account"]["lost"], 1);
        assert_eq!(json["timeline"][4]["delivery_p99_us"], 4_000);
    }
}
