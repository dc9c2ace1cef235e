//! A file of a deployment: its lines, who may read it, and what is wrong with it.

use std::collections::HashSet;
use std::io::{self, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use turnpike_daemon::config::{Fault, Place};

use crate::config::secret_weakness;

/// No file of a deployment that is written by hand is larger; the rest is not read.
const BYTES_MAX: u64 = 1024 * 1024;
const SECRET_BYTES_MIN: usize = 32;

pub(super) struct File {
    pub(super) path: PathBuf,
    pub(super) text: String,
    mode: u32,
    /// Whether it is in version control, where everybody who has the repository reads it, for ever.
    is_tracked: bool,
}

/// Something that is wrong.
pub(super) struct Found {
    pub(super) key: String,
    /// Counted from one.
    pub(super) line: Option<usize>,
    pub(super) problem: String,
    pub(super) remedy: String,
}

impl Found {
    pub(super) fn new(
        key: impl Into<String>,
        line: Option<usize>,
        problem: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self { key: key.into(), line, problem: problem.into(), remedy: remedy.into() }
    }

    pub(super) fn fault(self, file: &File) -> Fault {
        let Self { key, line, problem, remedy } = self;
        Fault { key, place: Place::File { path: file.path.clone(), line }, value: None, problem, remedy }
    }
}

/// A line that says something: its number, the first word, and what follows.
pub(super) struct Directive<'a> {
    pub(super) line: usize,
    pub(super) name: &'a str,
    pub(super) value: &'a str,
}

impl File {
    pub(super) fn read(path: &Path, tracked: &HashSet<PathBuf>) -> io::Result<Self> {
        let file = std::fs::File::open(path)?;
        let mode = file.metadata()?.permissions().mode();
        let mut bytes = Vec::new();
        file.take(BYTES_MAX).read_to_end(&mut bytes)?;
        let is_tracked = path.canonicalize().is_ok_and(|path| tracked.contains(&path));
        Ok(Self { path: path.into(), text: String::from_utf8_lossy(&bytes).into_owned(), mode, is_tracked })
    }

    pub(super) fn name(&self) -> &str {
        self.path.file_name().and_then(|name| name.to_str()).unwrap_or_default()
    }

    /// Lines that are neither empty nor comments, split where any of `separators` stands first.
    pub(super) fn directives(&self, separators: &'static [char]) -> impl Iterator<Item = Directive<'_>> {
        let lines = self.text.lines().enumerate().map(|(index, line)| (index + 1, line.trim()));
        let said = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with(['#', ';']));
        said.map(move |(line, text)| {
            let (name, value) = text.split_once(separators).unwrap_or((text, ""));
            Directive { line, name: name.trim(), value: value.trim().trim_matches('"') }
        })
    }

    /// What stands in samples for somebody to replace.
    pub(super) fn placeholders(&self) -> Vec<Found> {
        const MARKS: &[&str] =
            &["replace-with", "changeme", "change-me", "change_me", "example.com", "redis-1.internal"];
        let lines = self.text.lines().enumerate();
        let said = lines.filter(|(_, line)| !line.trim_start().starts_with(['#', ';']));
        said.filter_map(|(index, line)| {
            let line = line.to_ascii_lowercase();
            let mark = MARKS.iter().find(|mark| line.contains(**mark))?;
            Some(Found::new(
                "placeholder",
                Some(index + 1),
                format!("has `{mark}` of the sample"),
                "expected a value of your own",
            ))
        })
        .collect()
    }

    /// Of a secret that stands in the file: whether it is one, and who may read it.
    pub(super) fn secret(&self, key: &str, line: usize, secret: &str) -> Vec<Found> {
        let mut found = self.exposed(key, Some(line));
        let random = "expected at least 32 random bytes, as `openssl rand -base64 48` makes them";
        if secret.len() < SECRET_BYTES_MIN {
            found.push(Found::new(key, Some(line), format!("has {} bytes", secret.len()), random));
        } else if let Some(weakness) = secret_weakness(secret) {
            found.push(Found::new(key, Some(line), weakness, random));
        }
        found
    }

    /// Of a file that holds a secret.
    pub(super) fn exposed(&self, key: &str, line: Option<usize>) -> Vec<Found> {
        let mut found = Vec::new();
        if self.mode & 0o007 != 0 {
            let problem = "stands in a file that every user of this machine may read";
            let remedy = format!("expected `chmod 600 {}`, or 640 and its group", self.path.display());
            found.push(Found::new(key, line, problem, remedy));
        }
        if self.is_tracked {
            let problem = "stands in a file that is in version control";
            found.push(Found::new(
                key,
                line,
                problem,
                "expected it elsewhere; and another one, for this one is known",
            ));
        }
        found
    }
}

/// What git keeps of a folder. Nothing where there is no git.
pub(super) fn tracked(directory: &Path) -> HashSet<PathBuf> {
    let Ok(directory) = directory.canonicalize() else { return HashSet::new() };
    let mut git = Command::new("git");
    git.arg("-C").arg(&directory).args(["ls-files", "-z"]).stdin(Stdio::null()).stderr(Stdio::null());
    let Ok(output) = git.output() else { return HashSet::new() };
    let names = output.stdout.split(|byte| *byte == 0).filter(|name| !name.is_empty());
    names.map(|name| directory.join(String::from_utf8_lossy(name).as_ref())).collect()
}
