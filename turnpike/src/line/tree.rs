//! The table as commands of clap, which knows shells, man pages and how help is laid out. It does not parse: faults of the line
//! are told together with those of the environment and of the file.

use std::fmt::Write as _;

use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgAction, Command, ValueHint};
use turnpike_daemon::config::{FILE_FLAG, Key, Settings as _};

use super::help::{WIDTH, wrapped};
use super::{Example, Exit, Flag, Keys, Operand, ROOT, Spec, Takes};
use crate::config::Config;

/// As help and man pages show it.
pub(crate) fn tree() -> Command {
    made(&ROOT, &mut vec![ROOT.name], false)
}

/// With the keys that a command goes by as flags of it, which shells offer.
pub(crate) fn tree_with_keys() -> Command {
    made(&ROOT, &mut vec![ROOT.name], true)
}

fn made(spec: &'static Spec, path: &mut Vec<&'static str>, with_keys: bool) -> Command {
    let mut command = Command::new(spec.name)
        .about(spec.about)
        .override_usage(spec.usage(path))
        .help_template(template(spec))
        .term_width(WIDTH)
        .disable_help_subcommand(true)
        .disable_help_flag(true)
        .after_help(after(spec))
        .next_help_heading("Flags");
    if !spec.more.is_empty() {
        command = command.long_about(format!("{}.\n\n{}", spec.about, spec.more));
    }
    let help = Arg::new("help").short('h').long("help").action(ArgAction::Help).help("says this");
    if path.len() == 1 {
        let version = Arg::new("version").short('V').long("version").action(ArgAction::Version);
        command = command
            .version(env!("CARGO_PKG_VERSION"))
            .disable_version_flag(true)
            .arg(version.help("says which version this is"));
    }
    command = command.arg(help);
    command =
        command.args(spec.operands.iter().enumerate().map(|(index, operand)| positional(operand, index + 1)));
    command = command.args(spec.flags().map(flag));
    if with_keys {
        command = command.args(keys(spec));
    }
    for below in spec.commands {
        path.push(below.name);
        command = command.subcommand(made(below, path, with_keys));
        path.pop();
    }
    command
}

fn template(spec: &Spec) -> String {
    let more = if spec.more.is_empty() { String::new() } else { format!("{}\n\n", wrapped(spec.more, 0)) };
    format!("{{about}}\n\n{more}{{usage-heading}} {{usage}}\n\n{{all-args}}{{after-help}}")
}

fn after(spec: &Spec) -> String {
    let mut out = String::new();
    if !spec.examples.is_empty() {
        out.push_str("Examples:\n");
        for Example(line, about) in spec.examples {
            let _ = writeln!(out, "  {line}\n{}", wrapped(about, 6));
        }
        out.push('\n');
    }
    if spec.runs {
        out.push_str("Exit codes:\n");
        for Exit(code, about) in spec.exits() {
            let about = wrapped(about, 7);
            let _ = writeln!(out, "  {code:>3}  {}", about.trim_start());
        }
        out.push('\n');
    }
    if let Keys::These(names @ [_, ..]) = spec.keys {
        out.push_str(
            "It goes by these keys of the configuration, which are flags and environment variables:\n",
        );
        for key in names.iter().map(|name| key(name)) {
            let _ = writeln!(out, "  --{} ({})", key.flag(), key.environment);
        }
        out.push('\n');
    }
    let every = "Every key of the configuration is a flag too, and --config PATH names a file: `turnpike help configuration`.";
    out + &wrapped(every, 0)
}

fn positional(operand: &'static Operand, index: usize) -> Arg {
    let arg = Arg::new(operand.name)
        .index(index)
        .help(operand.about)
        .help_heading("Words")
        .required(operand.required)
        .num_args(1..=if operand.repeated { usize::MAX } else { 1 });
    offers(arg, operand.takes)
}

fn flag(flag: &'static Flag) -> Arg {
    let arg = Arg::new(flag.name).long(flag.name).help(flag.told());
    match flag.value {
        None => arg.action(ArgAction::SetTrue),
        Some(value) => {
            let action = if flag.repeated { ArgAction::Append } else { ArgAction::Set };
            offers(arg.action(action).value_name(value).required(flag.required), flag.takes)
        }
    }
}

fn offers(arg: Arg, takes: Takes) -> Arg {
    match takes {
        Takes::Anything => arg.value_hint(ValueHint::Other),
        Takes::Words(words) => arg.value_parser(PossibleValuesParser::new(words)).hide_possible_values(true),
        Takes::Path => arg.value_hint(ValueHint::AnyPath),
        Takes::Folder => arg.value_hint(ValueHint::DirPath),
    }
}

fn keys(spec: &Spec) -> Vec<Arg> {
    let file = Arg::new(FILE_FLAG).long(FILE_FLAG).value_name("PATH").value_hint(ValueHint::FilePath);
    let mut args = vec![file.help("The file of the configuration")];
    let wanted: Vec<&Key> = match spec.keys {
        Keys::All => Config::sections().iter().flat_map(|section| section.keys).collect(),
        Keys::These(names) => names.iter().map(|name| key(name)).collect(),
    };
    args.extend(wanted.into_iter().map(|key| {
        let about = key.about.trim().split_inclusive(". ").next().unwrap_or_default();
        let arg = Arg::new(key.path).long(key.flag()).value_name("VALUE").help(about.trim().to_owned());
        match words_of(key.kind.expects) {
            Some(words) => arg.value_parser(PossibleValuesParser::new(words)),
            None if key.default == "true" || key.default == "false" => arg.value_parser(["true", "false"]),
            None => arg.value_hint(ValueHint::AnyPath),
        }
    }));
    args
}

pub(super) fn key(path: &str) -> &'static Key {
    let sections = Config::sections();
    let key = sections.iter().flat_map(|section| section.keys).find(|key| key.path == path);
    key.expect("a test holds that commands name keys that are declared")
}

/// Of "`a`, `b` or `c`" the words, if nothing else is in it.
fn words_of(expects: &'static str) -> Option<Vec<&'static str>> {
    let parts: Vec<&str> = expects.split('`').collect();
    let is_list = |part: &&str| ["", ", ", " or "].contains(part);
    (parts.len() > 3 && parts.iter().step_by(2).all(is_list))
        .then(|| parts.into_iter().skip(1).step_by(2).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_to_choose_from() {
        assert_eq!(words_of("`a`, `b-c` or `d`"), Some(vec!["a", "b-c", "d"]));
        assert_eq!(words_of("a port, or `off`"), None);
        assert_eq!(words_of("`x`"), None);
    }
}
