//! The keys written out: as TOML for `config print`, as a table for the documentation, as lines for `--help`.

use std::fmt::Write as _;

use super::key::Section;
use super::load::Effective;
use super::value::Form;

/// A file that gives the same configuration again, except that secrets are left out.
pub fn as_toml(effective: &[Effective]) -> String {
    let mut out = String::new();
    let mut section = "";
    for Effective { section: current, key, shown, place, .. } in effective {
        if section != current.name {
            section = current.name;
            let gap = if out.is_empty() { "" } else { "\n" };
            let _ = writeln!(out, "{gap}# {}\n[{section}]", current.about.trim());
        }
        let name = key.name();
        let _ = match (key.kind.secret, shown.is_empty()) {
            (_, true) => writeln!(out, "# {name} is not set"),
            (true, false) => writeln!(out, "# {name} is set and hidden  # {place}"),
            (false, false) => writeln!(out, "{name} = {}  # {place}", toml_value(key.kind.form, shown)),
        };
    }
    out
}

fn toml_value(form: Form, shown: &str) -> String {
    let quoted = |text: &str| toml::Value::String(text.to_owned()).to_string();
    match form {
        Form::Bare => shown.to_owned(),
        Form::Quoted => quoted(shown),
        Form::List => format!("[{}]", shown.split(',').map(quoted).collect::<Vec<_>>().join(", ")),
    }
}

/// One table a section, for `docs/configuration.md`.
pub fn as_markdown(sections: &[Section]) -> String {
    let mut out = String::new();
    for section in sections {
        let _ = writeln!(out, "### `[{}]`\n\n{}\n", section.name, section.about.trim());
        out.push_str(
            "| key | environment | flag | default | what it is |\n| --- | --- | --- | --- | --- |\n",
        );
        for key in section.keys {
            let default =
                if key.default.is_empty() { "not set".into() } else { format!("`{}`", key.default) };
            let _ = writeln!(
                out,
                "| `{}` | `{}` | `--{}` | {default} | {} Takes {}. |",
                key.name(),
                key.environment,
                key.flag(),
                key.about.trim(),
                key.expects().replace('|', "\\|"),
            );
        }
        out.push('\n');
    }
    out
}

/// The keys as flags, for `--help`.
pub fn as_flags(sections: &[Section]) -> String {
    let keys = || sections.iter().flat_map(|section| section.keys);
    let width = keys().map(|key| key.flag().len()).max().unwrap_or(0);
    let mut out = String::new();
    for key in keys() {
        let default = if key.default.is_empty() { String::new() } else { format!(" [{}]", key.default) };
        let about = wrapped(&format!("{}{default}", key.about.trim()), HELP_WIDTH - width - 6, width + 6);
        let _ = writeln!(out, "  --{:width$}  {about}", key.flag());
    }
    out
}

const HELP_WIDTH: usize = 110;

/// Breaks text between words; lines after the first are indented.
fn wrapped(text: &str, width: usize, indent: usize) -> String {
    let mut out = String::new();
    let mut column = 0;
    for word in text.split_whitespace() {
        if column > 0 && column + 1 + word.len() > width {
            let _ = write!(out, "\n{:indent$}", "");
            column = 0;
        } else if column > 0 {
            out.push(' ');
            column += 1;
        }
        out.push_str(word);
        column += word.len();
    }
    out
}
