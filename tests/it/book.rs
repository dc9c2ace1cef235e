//! Every code block of the documentation, each as its reader would use it: commands in a shell beside a running system,
//! programs in Node and in Chromium, configuration in the real parser, data as what it says it is.
//!
//! What a block takes for granted (a token, a function of the reader's own) is given to it by a frame of `tests/node/book`.
//! What cannot be run says why in a mark above it, and how many may do so is counted here.

mod commands;
mod configuration;
mod data;
mod programs;
mod sandbox;
mod symptoms;
mod tutorial;
mod way;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use turnpike_book::{Block, Mark, blocks, pages};

use crate::harness::home;
use way::Way;

/// Blocks that no test runs. Each says why; another one has to be worth it.
const NOT_RUN_MAX: usize = 14;
/// A reason in fewer letters is none.
const REASON_LETTERS_MIN: usize = 20;

fn root() -> PathBuf {
    home().parent().unwrap().to_owned()
}

fn all_blocks() -> Vec<Block> {
    pages(&root()).unwrap().iter().flat_map(blocks).collect()
}

/// Those that are tested in this way.
fn blocks_of(wanted: impl Fn(&Way) -> bool) -> Vec<(Block, Way)> {
    let all = all_blocks().into_iter().filter_map(|block| Way::of(&block).ok().map(|way| (block, way)));
    all.filter(|(_, way)| wanted(way)).collect()
}

fn frame_path(name: &str, extension: &str) -> PathBuf {
    home().join("node/book").join(name).with_extension(extension)
}

/// At the same time: most of what is run waits most of the time.
const THREADS: usize = 3;

/// What went wrong with some of the jobs.
fn faults_of<T: Send>(
    jobs: impl IntoIterator<Item = T>,
    run: impl Fn(T) -> Vec<String> + Sync,
) -> Vec<String> {
    let jobs: Vec<T> = jobs.into_iter().collect();
    let (jobs, faults) = (Mutex::new(jobs), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                loop {
                    let Some(job) = jobs.lock().unwrap().pop() else { return };
                    let found = run(job);
                    faults.lock().unwrap().extend(found);
                }
            });
        }
    });
    faults.into_inner().unwrap()
}

#[test]
fn every_block_is_tested_or_says_why_not() {
    let mut counts = BTreeMap::new();
    let mut faults = Vec::new();
    let mut frames = BTreeSet::new();
    for block in all_blocks() {
        let place = block.place();
        match Way::of(&block) {
            Err(fault) => faults.push(format!("{place}: {fault}")),
            Ok(Way::File(_) | Way::Stays(_)) if block.page != Path::new(commands::TUTORIAL) => {
                faults.push(format!("{place}: only the tutorial has files, and commands that stay"));
            }
            Ok(way) => *counts.entry(way.name()).or_insert(0) += 1,
        }
        match &block.mark {
            Some(Mark::NotRun(reason)) if reason.len() < REASON_LETTERS_MIN => {
                faults.push(format!("{place}: \"{reason}\" is no reason"));
            }
            Some(Mark::In(name)) => {
                frames.insert(name.clone());
            }
            Some(Mark::RunBy(which)) => {
                let (path, word) = which.split_once(' ').unwrap_or((which, ""));
                let text = std::fs::read_to_string(root().join(path)).unwrap_or_default();
                if word.is_empty() || !text.contains(word) {
                    faults.push(format!("{place}: there is no \"{word}\" in {path}"));
                }
            }
            _ => {}
        }
    }
    println!("{counts:#?}");
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    let not_run = counts.get("not run").copied().unwrap_or(0);
    assert!(not_run <= NOT_RUN_MAX, "{not_run} blocks are not run, which are more than {NOT_RUN_MAX}");
    assert!(counts.values().sum::<usize>() > 100, "blocks are found: {counts:?}");
    let kept: BTreeSet<String> = std::fs::read_dir(home().join("node/book"))
        .unwrap()
        .filter_map(|entry| Some(Path::new(&entry.unwrap().file_name()).file_stem()?.to_str()?.to_owned()))
        .filter(|name| !way::OWN_SCRIPTS.contains(&name.as_str()))
        .collect();
    assert_eq!(kept, frames, "frames that are there, and frames that are used");
}
