//! `turnpike man`: a page for each command.

use std::path::Path;

use anyhow::Context as _;

use super::{Example, Operand, Spec, Takes, tree};

pub(crate) const SPEC: Spec = Spec {
    operands: &[Operand::new("FOLDER", "where the pages are written").takes(Takes::Folder)],
    examples: &[Example(
        "turnpike man ~/.local/share/man/man1",
        "then `man turnpike-audit-verify` shows one",
    )],
    ..Spec::new("man", "Writes a man page for each command")
};

pub(crate) fn write(folder: &Path) -> anyhow::Result<()> {
    let failed = || {
        format!("cannot write man pages into {}: expected a folder that can be written to", folder.display())
    };
    std::fs::create_dir_all(folder).with_context(failed)?;
    clap_mangen::generate_to(tree::tree(), folder).with_context(failed)?;
    crate::say(&format!("the pages are in {}", folder.display()));
    Ok(())
}
