//! Which command the words of a line name, and what is left of them for it.

use turnpike_daemon::config::{Arguments, Fault, Place, nearest};

use super::{ROOT, Spec};

/// A command, the words that lead to it, and its operands.
pub(crate) struct Asked<'a> {
    pub(crate) spec: &'static Spec,
    pub(crate) path: Vec<&'static str>,
    pub(crate) operands: &'a [String],
}

impl<'a> Asked<'a> {
    /// As far as the words lead.
    pub(crate) fn nearest(words: &'a [String]) -> Self {
        let (mut spec, mut path, mut operands) = (&ROOT, vec![ROOT.name], words);
        while let Some((word, rest)) = operands.split_first()
            && let Some(command) = spec.commands.iter().find(|command| command.name == word)
        {
            path.push(command.name);
            (spec, operands) = (command, rest);
        }
        Self { spec, path, operands }
    }

    /// What is wrong with the words, if anything is.
    pub(crate) fn fault(&self) -> Option<Fault> {
        let Self { spec, operands, .. } = self;
        let words: Vec<&str> =
            self.path[1..].iter().copied().chain(operands.iter().map(String::as_str)).collect();
        let fault = |problem: &str, remedy: String| {
            Some(Fault {
                key: "command".into(),
                place: Place::Line,
                value: Some(words.join(" ")),
                problem: problem.into(),
                remedy,
            })
        };
        let takes_more = spec.operands.last().is_some_and(|operand| operand.repeated);
        if operands.len() > spec.operands.len() && !takes_more {
            return fault("is not a command", self.advice(&operands[0]));
        }
        if !spec.runs && operands.is_empty() {
            return fault("is not a command yet", self.advice(""));
        }
        let missing = spec.operands.iter().skip(operands.len()).find(|operand| operand.required)?;
        let (name, usage) = (missing.name, spec.usage(&self.path));
        fault(&format!("lacks {name}"), format!("expected {}: `{usage}`", missing.about))
    }

    fn advice(&self, word: &str) -> String {
        let Self { spec, path, .. } = self;
        let path = path.join(" ");
        let names = || spec.commands.iter().map(|command| command.name);
        if let Some(known) = nearest(word, names()) {
            return format!("did you mean `{path} {known}`?");
        }
        if spec.commands.is_empty() {
            return format!("`{path} --help` says what it takes");
        }
        let names: Vec<String> = names().map(|name| format!("`{name}`")).collect();
        format!("expected {} after `{path}`; `{path} --help` says more", listed(&names))
    }

    /// Names of its flags, to be suggested where one is misspelt.
    pub(crate) fn flags(&self) -> Vec<&'static str> {
        self.spec.flags().map(|flag| flag.name).chain(["help", "version"]).collect()
    }
}

fn listed(names: &[String]) -> String {
    match names {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} or {last}", first.join(", ")),
    }
}

/// Flags that take no value, of whichever command.
pub(crate) fn switches() -> Vec<&'static str> {
    let mut switches = vec!["help", "h", "version", "V"];
    ROOT.walk(&mut |_, spec| {
        switches.extend(spec.flags().filter(|flag| flag.value.is_none()).map(|flag| flag.name));
    });
    switches
}

/// Whether whoever asked reads JSON, also where the rest of the line is not understood.
pub(crate) fn wants_json(arguments: &Arguments) -> bool {
    Asked::nearest(&arguments.words).spec.has_flag(super::JSON.name)
        && arguments.flags.iter().any(|flag| flag.name == super::JSON.name && flag.value.is_none())
}
