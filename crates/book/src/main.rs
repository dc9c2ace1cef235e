//! `turnpike-book ROOT SITE`: makes the site, and says what is wrong with it.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, bail};

fn main() -> ExitCode {
    match make() {
        Ok(site) => {
            let _ = writeln!(std::io::stdout(), "{}", site.join("index.html").display());
            ExitCode::SUCCESS
        }
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "turnpike-book: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn make() -> anyhow::Result<PathBuf> {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let (root, site) = arguments.next().zip(arguments.next()).context("usage: turnpike-book ROOT SITE")?;
    turnpike_book::build(&root, &site.with_extension("pages"), &site)?;
    let broken = turnpike_book::broken(&site)?;
    if !broken.is_empty() {
        bail!("links that lead nowhere:\n{}", broken.join("\n"));
    }
    Ok(site)
}
