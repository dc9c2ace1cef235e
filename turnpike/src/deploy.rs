//! `turnpike deploy check`: whether the files of a deployment are fit for production, before anything starts.
//!
//! Each kind of file has a file here, with what it is called and what must hold of it; [`KINDS`] is the list.

mod coturn;
mod environment;
mod file;
mod kept_secret;
mod orchestration;
mod private_key;
mod redis_acl;
mod redis_conf;
mod turnpike;

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde_json::json;
use turnpike_daemon::config::{Environment, Fault, Faults};

use self::file::{File, Found};
use crate::line::{Example, Exit, JSON, Operand, Spec, Takes};

pub(crate) const SPEC: Spec = Spec::group("deploy", "Looks at the files of a deployment", &[CHECK]);

const CHECK: Spec = Spec {
    more: "It refuses what is not fit for production: default, short or repeated secrets, placeholders, keys that others can read, names that the product \
           does not know. Every fault is named, nothing is started.",
    operands: &[Operand::new("FOLDER", "the folder with the files").takes(Takes::Folder)],
    flags: &[&[JSON]],
    examples: &[
        Example("turnpike deploy check deploy", "before anything starts"),
        Example("turnpike deploy check /etc/turnpike --json", "for a script"),
    ],
    exits: &[Exit(64, "a file is not fit; every fault is named")],
    ..Spec::new("check", "Says whether the files of a deployment are fit for production")
};

/// What a file is called that is of this kind, and what must hold of it.
struct Kind {
    name: &'static str,
    is: fn(&File) -> bool,
    check: fn(&File, &Surroundings<'_>) -> Vec<Found>,
}

const KINDS: &[Kind] = &[
    turnpike::KIND,
    redis_conf::KIND,
    redis_acl::KIND,
    coturn::KIND,
    environment::KIND,
    private_key::KIND,
    orchestration::KIND,
    kept_secret::KIND,
];

/// Folders in folders, so that a slip in the name of a folder does not read a whole disk.
const DEPTH_MAX: usize = 6;
const FILES_MAX: usize = 10_000;

/// What a file is checked with beside its own text.
struct Surroundings<'a> {
    /// Where secrets may come from that are not in the file.
    environment: &'a Environment,
}

/// All that is wrong, in all files, at once.
pub(crate) fn check(directory: &Path, environment: &Environment, json: bool) -> anyhow::Result<()> {
    let mut paths = Vec::new();
    files(directory, 0, &mut paths).with_context(|| format!("cannot look into {}", directory.display()))?;
    paths.sort();
    let tracked = file::tracked(directory);
    let mut faults = Faults::default();
    let mut sound = Vec::new();
    for path in paths {
        let file = File::read(&path, &tracked).with_context(|| format!("cannot read {}", path.display()))?;
        let kinds: Vec<&Kind> = KINDS.iter().filter(|kind| (kind.is)(&file)).collect();
        if kinds.is_empty() {
            continue;
        }
        let found: Vec<Fault> = kinds
            .iter()
            .flat_map(|kind| (kind.check)(&file, &Surroundings { environment }))
            .chain(file.placeholders())
            .map(|found| found.fault(&file))
            .collect();
        if found.is_empty() {
            let name = kinds.iter().map(|kind| kind.name).collect::<Vec<_>>().join(", ");
            sound.push((path.display().to_string(), name));
        }
        for fault in found {
            if !faults.0.contains(&fault) {
                faults.push(fault);
            }
        }
    }
    if !faults.is_empty() {
        return Err(faults.into());
    }
    anyhow::ensure!(
        !sound.is_empty(),
        "{} has no file that is known here: expected a configuration, an environment file, or what starts a deployment",
        directory.display()
    );
    if json {
        let files: Vec<_> = sound.iter().map(|(path, kind)| json!({ "path": path, "kind": kind })).collect();
        return crate::print(&json!({ "ok": true, "files": files }).to_string());
    }
    let lines: Vec<String> = sound.iter().map(|(path, kind)| format!("{path}: sound ({kind})")).collect();
    crate::print(&lines.join("\n"))
}

fn files(directory: &Path, depth: usize, found: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() && depth < DEPTH_MAX && entry.file_name() != ".git" {
            files(&entry.path(), depth + 1, found)?;
        } else if entry.path().is_file() && found.len() < FILES_MAX {
            found.push(entry.path());
        }
    }
    Ok(())
}
