//! `--help` and `turnpike help`.

use std::fmt::Write as _;

use turnpike_daemon::config::{Fault, Faults, Place, Settings as _, as_flags};

use super::asked::Asked;
use super::{Flag, ROOT, tree};
use crate::config::Config;
use crate::terminal;

pub(crate) const ALL: Flag =
    Flag::switch("all", "of every command, one after the other, and the keys of the configuration");

/// The word for the keys, where else a command is named.
const CONFIGURATION: &str = "configuration";

/// Of the command that the words name; what follows it does not matter.
pub(crate) fn of(words: &[String]) -> String {
    of_path(&Asked::nearest(words).path)
}

/// What `turnpike help` and the words ask for.
pub(crate) fn asked(words: &[String], everything: bool) -> Result<String, Faults> {
    if everything {
        return Ok(all());
    }
    if words.len() == 1 && words[0] == CONFIGURATION {
        return Ok(keys());
    }
    let asked = Asked::nearest(words);
    match asked.operands.first() {
        None => Ok(of_path(&asked.path)),
        Some(_) => Err(Faults(vec![asked.fault().unwrap_or_else(|| Fault {
            key: "command".into(),
            place: Place::Line,
            value: Some(words.join(" ")),
            problem: "is not a command".into(),
            remedy: format!("did you mean `turnpike help {}`?", asked.path[1..].join(" ")),
        })])),
    }
}

fn of_path(path: &[&str]) -> String {
    let mut command = tree::tree();
    command.build();
    let mut found = &mut command;
    for word in &path[1..] {
        found = found.find_subcommand_mut(word).expect("the tree has what the table has");
    }
    let text = found.render_help().to_string();
    if terminal::colours(&std::io::stdout()) {
        with_headings(text.trim_end())
    } else {
        text.trim_end().to_owned()
    }
}

/// Headings stand out.
fn with_headings(text: &str) -> String {
    let lines = text.lines().map(|line| match line.split_once(':') {
        Some((heading, rest)) if !line.starts_with(' ') && (rest.is_empty() || heading == "Usage") => {
            format!("\x1b[1m{heading}:\x1b[0m{rest}")
        }
        _ => line.to_owned(),
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn all() -> String {
    let mut out = String::new();
    ROOT.walk(&mut |path, _| {
        let _ = writeln!(out, "{}\n", of_path(path));
    });
    out + &keys()
}

fn keys() -> String {
    format!(
        "The configuration: a TOML file (--config PATH, or TURNPIKE_CONFIG), then the environment, then flags; the later wins.\n\
         docs/configuration.md has the same with the names in the file and in the environment.\n\n{}",
        as_flags(&Config::sections()).trim_end()
    )
}

pub(super) const WIDTH: usize = 110;

/// Breaks text between words; each line is indented.
pub(super) fn wrapped(text: &str, indent: usize) -> String {
    let mut out = String::new();
    let mut column = WIDTH;
    for word in text.split_whitespace() {
        if column + 1 + word.len() > WIDTH {
            let _ = write!(out, "{}{:indent$}", if out.is_empty() { "" } else { "\n" }, "");
            column = indent;
        } else {
            out.push(' ');
            column += 1;
        }
        out.push_str(word);
        column += word.len();
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_end_between_words() {
        let text = "word ".repeat(60);
        let lines = wrapped(&text, 2);
        assert!(lines.lines().all(|line| line.starts_with("  word") && line.len() <= WIDTH), "{lines}");
        assert_eq!(lines.split_whitespace().count(), 60);
        assert_eq!(wrapped("", 2), "");
    }

    #[test]
    fn headings_stand_out() {
        let shown = with_headings("Does it: well.\n\nUsage: turnpike x\nFlags:\n  --y  is: this\n  a:");
        assert_eq!(
            shown,
            "Does it: well.\n\n\x1b[1mUsage:\x1b[0m turnpike x\n\x1b[1mFlags:\x1b[0m\n  --y  is: this\n  a:"
        );
    }
}
