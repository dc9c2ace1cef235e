//! `docs/commands.md`, from the table.

use std::fmt::Write as _;

use super::{Example, Exit, Keys, Operand, ROOT, Spec, tree};

/// What stands between the marks of the document.
pub(super) fn document() -> String {
    let mut out = String::from("\n| command | |\n| --- | --- |\n");
    ROOT.walk(&mut |path, spec| {
        if spec.runs {
            let path = path.join(" ");
            let _ = writeln!(out, "| [`{path}`](#{}) | {} |", path.replace(' ', "-"), cell(spec.about));
        }
    });
    out.push('\n');
    ROOT.walk(&mut |path, spec| section(&mut out, path, spec));
    out
}

fn section(out: &mut String, path: &[&str], spec: &Spec) {
    let _ = writeln!(out, "## `{}`\n\n{}.", path.join(" "), spec.about);
    if !spec.more.is_empty() {
        let _ = writeln!(out, "\n{}", spec.more);
    }
    let _ = writeln!(out, "\n**Usage:** `{}`\n", spec.usage(path));
    if !spec.commands.is_empty() {
        let below: Vec<String> = spec
            .commands
            .iter()
            .map(|command| format!("[`{}`](#{}-{})", command.name, path.join("-"), command.name))
            .collect();
        let _ = writeln!(out, "Below it: {}.\n", below.join(", "));
    }
    let flags: Vec<_> = spec.flags().collect();
    if !flags.is_empty() || !spec.operands.is_empty() {
        let _ = writeln!(out, "| takes | |\n| --- | --- |");
        for Operand { name, about, .. } in spec.operands {
            let _ = writeln!(out, "| `{name}` | {} |", cell(about));
        }
        for flag in flags {
            let required = if flag.required { " (required)" } else { "" };
            let _ = writeln!(out, "| `{}` | {}{required} |", cell(&flag.shown()), cell(&flag.told()));
        }
        out.push('\n');
    }
    if let Keys::These(names @ [_, ..]) = spec.keys
        && spec.runs
    {
        let keys = names.iter().map(|name| tree::key(name));
        let keys: Vec<String> =
            keys.map(|key| format!("`--{}` (`{}`)", key.flag(), key.environment)).collect();
        let _ = writeln!(out, "Goes by {}.\n", keys.join(", "));
    }
    if !spec.examples.is_empty() {
        let _ = writeln!(out, "For example:\n");
        for Example(line, about) in spec.examples {
            let _ = writeln!(out, "- `{line}`: {about}");
        }
        out.push('\n');
    }
    if !spec.exits.is_empty() {
        let _ = writeln!(out, "| exit code | |\n| --- | --- |");
        for Exit(code, about) in spec.exits() {
            let _ = writeln!(out, "| {code} | {} |", cell(about));
        }
        out.push('\n');
    }
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}
