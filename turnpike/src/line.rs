//! The command line as it is: every command with what it takes, how it is used and how it ends. One table, from which everything
//! else is made: what is understood ([`crate::command`]), `--help`, completions, man pages and `docs/commands.md`.
//!
//! It must not know what a command does. Each stands beside the code that does it, as a [`Spec`].

pub(crate) mod asked;
pub(crate) mod completions;
#[cfg(test)]
mod document;
pub(crate) mod help;
pub(crate) mod man;
mod root;
#[cfg(test)]
mod tests;
mod tree;

use std::fmt::Write as _;

pub(crate) use self::root::ROOT;

/// A command.
pub(crate) struct Spec {
    pub(crate) name: &'static str,
    /// One line.
    pub(crate) about: &'static str,
    /// What else is to be known of it, in paragraphs.
    pub(crate) more: &'static str,
    pub(crate) operands: &'static [Operand],
    /// In groups, so that commands can share some.
    pub(crate) flags: &'static [&'static [Flag]],
    /// Keys of the configuration that change what it does; each is a flag too. Every command takes all of them.
    pub(crate) keys: Keys,
    pub(crate) examples: &'static [Example],
    /// Beside those that all commands have.
    pub(crate) exits: &'static [Exit],
    pub(crate) commands: &'static [Spec],
    /// Whether it does anything without a further word.
    pub(crate) runs: bool,
}

pub(crate) enum Keys {
    All,
    These(&'static [&'static str]),
}

/// What is not a flag and not the name of a command.
pub(crate) struct Operand {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) required: bool,
    pub(crate) repeated: bool,
    pub(crate) takes: Takes,
}

pub(crate) struct Flag {
    pub(crate) name: &'static str,
    /// What its value is called. None: it takes none.
    pub(crate) value: Option<&'static str>,
    pub(crate) about: &'static str,
    pub(crate) default: Option<&'static str>,
    pub(crate) required: bool,
    pub(crate) repeated: bool,
    pub(crate) takes: Takes,
}

/// What a shell offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Takes {
    Anything,
    Words(&'static [&'static str]),
    Path,
    Folder,
}

/// A line that can be typed as it stands, and what it is for.
pub(crate) struct Example(pub(crate) &'static str, pub(crate) &'static str);

pub(crate) struct Exit(pub(crate) u8, pub(crate) &'static str);

/// What every command can end with.
pub(crate) const EXITS: &[Exit] = &[
    Exit(0, "done"),
    Exit(1, "it was refused, or failed; standard error says why"),
    Exit(
        64,
        "the command line, the environment or the file is not right; every fault is named, nothing was done",
    ),
];

pub(crate) const JSON: Flag = Flag::switch("json", "prints one JSON document for scripts, also of an error");

impl Spec {
    pub(crate) const fn new(name: &'static str, about: &'static str) -> Self {
        Self {
            name,
            about,
            more: "",
            operands: &[],
            flags: &[],
            keys: Keys::These(&[]),
            examples: &[],
            exits: &[],
            commands: &[],
            runs: true,
        }
    }

    /// One that only has others below it.
    pub(crate) const fn group(name: &'static str, about: &'static str, commands: &'static [Self]) -> Self {
        Self { commands, runs: false, ..Self::new(name, about) }
    }

    pub(crate) fn flags(&self) -> impl Iterator<Item = &'static Flag> {
        self.flags.iter().copied().flatten()
    }

    pub(crate) fn has_flag(&self, name: &str) -> bool {
        self.flags().any(|flag| flag.name == name)
    }

    /// All that it can end with, in order.
    pub(crate) fn exits(&self) -> Vec<&'static Exit> {
        let own = |code: u8| self.exits.iter().any(|exit| exit.0 == code);
        let mut exits: Vec<&Exit> =
            EXITS.iter().filter(|exit| !own(exit.0)).chain(self.exits.iter()).collect();
        exits.sort_by_key(|exit| exit.0);
        exits
    }

    /// `turnpike audit verify [FLAGS]`, of a command that is reached by these words.
    pub(crate) fn usage(&self, words: &[&str]) -> String {
        let mut out = words.join(" ");
        for flag in self.flags().filter(|flag| flag.required) {
            let _ = write!(out, " {}", flag.shown());
        }
        if !self.runs {
            return out + " COMMAND";
        }
        for operand in self.operands {
            let _ = write!(out, " {}", operand.shown());
        }
        out + " [FLAGS]"
    }

    /// This command and all below it, each with the words that lead to it.
    pub(crate) fn walk(&'static self, see: &mut dyn FnMut(&[&'static str], &'static Self)) {
        fn below(
            spec: &'static Spec,
            words: &mut Vec<&'static str>,
            see: &mut dyn FnMut(&[&'static str], &'static Spec),
        ) {
            words.push(spec.name);
            see(words, spec);
            for command in spec.commands {
                below(command, words, see);
            }
            words.pop();
        }
        below(self, &mut Vec::new(), see);
    }
}

impl Operand {
    pub(crate) const fn new(name: &'static str, about: &'static str) -> Self {
        Self { name, about, required: true, repeated: false, takes: Takes::Anything }
    }

    pub(crate) const fn optional(self) -> Self {
        Self { required: false, ..self }
    }

    pub(crate) const fn repeated(self) -> Self {
        Self { repeated: true, ..self }
    }

    pub(crate) const fn takes(self, takes: Takes) -> Self {
        Self { takes, ..self }
    }

    fn shown(&self) -> String {
        let dots = if self.repeated { "..." } else { "" };
        let name = self.name;
        if self.required { format!("{name}{dots}") } else { format!("[{name}{dots}]") }
    }
}

impl Flag {
    pub(crate) const fn switch(name: &'static str, about: &'static str) -> Self {
        let takes = Takes::Anything;
        Self { name, value: None, about, default: None, required: false, repeated: false, takes }
    }

    pub(crate) const fn value(name: &'static str, value: &'static str, about: &'static str) -> Self {
        Self { value: Some(value), ..Self::switch(name, about) }
    }

    pub(crate) const fn default(self, default: &'static str) -> Self {
        Self { default: Some(default), ..self }
    }

    pub(crate) const fn required(self) -> Self {
        Self { required: true, ..self }
    }

    pub(crate) const fn repeated(self) -> Self {
        Self { repeated: true, ..self }
    }

    pub(crate) const fn takes(self, takes: Takes) -> Self {
        Self { takes, ..self }
    }

    /// `--for DURATION`.
    pub(crate) fn shown(&self) -> String {
        match self.value {
            Some(value) => format!("--{} {value}", self.name),
            None => format!("--{}", self.name),
        }
    }

    /// With what else is to be known of its value.
    pub(crate) fn told(&self) -> String {
        let mut out = self.about.to_owned();
        if let Takes::Words(words) = self.takes {
            let _ = write!(out, ": {}", words.join(", "));
        }
        if self.repeated {
            out += "; may be repeated";
        }
        if let Some(default) = self.default {
            let _ = write!(out, " [{default}]");
        }
        out
    }
}
