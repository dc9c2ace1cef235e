//! `turnpike completions`: what a shell needs to complete commands, flags and keys.

use clap_complete::Shell;

use super::{Example, Operand, ROOT, Spec, Takes, tree};

pub(crate) const SHELLS: &[&str] = &["bash", "zsh", "fish", "elvish", "powershell"];

pub(crate) const SPEC: Spec = Spec {
    operands: &[Operand::new("SHELL", "for which shell: bash, zsh, fish, elvish or powershell")
        .takes(Takes::Words(SHELLS))],
    examples: &[
        Example(
            "turnpike completions bash > ~/.local/share/bash-completion/completions/turnpike",
            "for every new bash, with the package bash-completion",
        ),
        Example(
            "turnpike completions zsh > ~/.zfunc/_turnpike",
            "for zsh, with `fpath+=~/.zfunc` before `compinit` in ~/.zshrc",
        ),
        Example("turnpike completions fish > ~/.config/fish/completions/turnpike.fish", "for fish"),
    ],
    ..Spec::new("completions", "Prints what a shell needs to complete commands, flags and keys")
};

/// None: not a shell that is known here.
pub(crate) fn shell(name: &str) -> Option<Shell> {
    SHELLS.contains(&name).then(|| name.parse().ok()).flatten()
}

pub(crate) fn print(shell: Shell) -> anyhow::Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut tree::tree_with_keys(), ROOT.name, &mut script);
    crate::print(String::from_utf8(script)?.trim_end())
}
