//! A small fuzzer that runs within the ordinary tests of any crate: a stored corpus, then seeded mutations of it for a while.
//! It knows bytes, and nothing of what is fuzzed.
//!
//! It has no feedback from the code, so it lives from a good corpus. What it finds it prints with everything that
//! is needed to see it again; such an input then becomes a file of the corpus, and is run first ever after.
#![allow(clippy::print_stdout, reason = "the seed of a run must be seen")]

use std::{
    env, fs,
    panic::{self, AssertUnwindSafe},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// Long enough for some ten thousand inputs in the dev profile.
const SECONDS: f64 = 2.0;
const SEED: u64 = 0x7475_726e_7069_6b65;
/// Limits that matter are set below this by the targets.
const INPUT_BYTES_MAX: usize = 4096;
/// Mutants are mutated further, so that faults which need several steps are in reach.
const MUTANTS_KEPT_MAX: usize = 256;

/// Runs `target` on the corpus of a crate, in `corpus/<name>` of its folder: `fuzz!("name", target)`.
#[macro_export]
macro_rules! fuzz {
    ($name:literal, $target:expr) => {
        $crate::run(
            $name,
            &std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join($name),
            $target,
        )
    };
}

/// Runs `target` on each file of the corpus, and then on mutations. It fails when the target panics.
/// `TURNPIKE_FUZZ_SECONDS` and `TURNPIKE_FUZZ_SEED` override the duration and the seed.
pub fn run(name: &str, corpus_dir: &Path, target: fn(&[u8])) {
    let seconds = setting("TURNPIKE_FUZZ_SECONDS").unwrap_or(SECONDS);
    let seed = setting("TURNPIKE_FUZZ_SEED").unwrap_or(SEED);
    let corpus = corpus(corpus_dir);
    println!("fuzz {name}: seed {seed} (TURNPIKE_FUZZ_SEED), {} files, {seconds} s", corpus.len());
    match search(corpus, target, seed, Duration::from_secs_f64(seconds)) {
        Ok(inputs) => println!("fuzz {name}: {inputs} mutations"),
        Err(found) => panic!("fuzz {name}: {found}"),
    }
}

/// How many mutations were tried, or what failed.
fn search(
    corpus: Vec<(PathBuf, Vec<u8>)>,
    target: fn(&[u8]),
    seed: u64,
    duration: Duration,
) -> Result<u64, String> {
    // The target's own message is printed by the panic hook.
    let fails = |input: &[u8]| panic::catch_unwind(AssertUnwindSafe(|| target(input))).is_err();
    if let Some((path, _)) = corpus.iter().find(|(_, input)| fails(input)) {
        return Err(format!("fails on {}", path.display()));
    }
    let mut random = Random(seed);
    let mut population: Vec<Vec<u8>> = corpus.into_iter().map(|(_, input)| input).collect();
    let stored = population.len();
    let until = Instant::now() + duration;
    let mut round = 0;
    while Instant::now() < until {
        // The clock decides only how far it goes: the inputs of a seed are the same on any machine.
        for _ in 0..16 {
            round += 1;
            let mut input = population[random.below(population.len())].clone();
            for _ in 0..=random.below(4) {
                mutate(&mut input, &population, &mut random);
            }
            input.truncate(INPUT_BYTES_MAX);
            if fails(&input) {
                return Err(format!("fails in round {round} of seed {seed} on {}", as_literal(&input)));
            }
            if random.below(8) == 0 {
                if population.len() < stored + MUTANTS_KEPT_MAX {
                    population.push(input);
                } else {
                    population[stored + random.below(MUTANTS_KEPT_MAX)] = input;
                }
            }
        }
    }
    Ok(round)
}

fn setting<T: std::str::FromStr>(key: &str) -> Option<T> {
    let text = env::var(key).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{key} is not a number: {text}")))
}

/// In the order of their names, so that a seed means the same everywhere.
fn corpus(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let entries = fs::read_dir(dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
    let mut paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.sort();
    assert!(!paths.is_empty(), "{} is empty", dir.display());
    let read = |path: PathBuf| match fs::read(&path) {
        Ok(input) => (path, input),
        Err(error) => panic!("{}: {error}", path.display()),
    };
    paths.into_iter().map(read).collect()
}

fn mutate(input: &mut Vec<u8>, population: &[Vec<u8>], random: &mut Random) {
    const STRIKING: [u8; 16] =
        [0x00, 0x01, 0x7d, 0x7e, 0x7f, 0x80, 0x81, 0x88, 0xc1, 0xfe, 0xff, b'"', b'[', b'{', b'-', b'9'];
    if input.is_empty() {
        input.push(random.next() as u8);
        return;
    }
    let at = random.below(input.len());
    // Most runs are short, a few go to the end.
    let run = if random.below(8) == 0 { usize::MAX } else { 12 };
    let end = at + 1 + random.below(run.min(input.len() - at));
    match random.below(10) {
        0 => input[at] ^= 1 << random.below(8),
        1 => input[at] = STRIKING[random.below(STRIKING.len())],
        2 => input[at] = random.next() as u8,
        3 => input[at] = input[at].wrapping_add(if random.below(2) == 0 { 1 } else { 255 }),
        4 => input.insert(at, STRIKING[random.below(STRIKING.len())]),
        5 => drop(input.drain(at..end)),
        6 => {
            let run = input[at..end].to_vec();
            let to = random.below(input.len() + 1);
            input.splice(to..to, run);
        }
        7 => input.truncate(at),
        8 => {
            let other = &population[random.below(population.len())];
            let from = random.below(other.len() + 1);
            input.splice(at..end, other[from..].iter().copied().take(64));
        }
        _ => {
            let value = random.next().to_le_bytes();
            let len = (1 << random.below(4)).min(input.len() - at);
            input[at..at + len].copy_from_slice(&value[..len]);
        }
    }
}

/// Ready to be pasted into a test or `printf`.
fn as_literal(input: &[u8]) -> String {
    format!("b\"{}\"", input.escape_ascii())
}

/// splitmix64: any seed will do, and it is the same on every machine.
pub struct Random(pub u64);

impl Random {
    #[allow(clippy::should_implement_trait, reason = "it gives a number, and never none")]
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Less than `end`, which is not zero.
    pub fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }
}

/// The search itself: a fault some steps away from its corpus is found, and told so that it can be seen again.
#[test]
fn finds_what_is_there() {
    fn target(input: &[u8]) {
        assert!(!(input.first() == Some(&0xff) && input.len() > 24), "meant to be found");
    }
    let corpus = || vec![(PathBuf::from("seed"), b"twelve bytes".to_vec())];
    let minute = Duration::from_mins(1);
    let found = search(corpus(), target, 7, minute).unwrap_err();
    assert!(found.contains("of seed 7 on b\"\\xff"), "{found}");
    assert_eq!(search(corpus(), target, 7, minute), Err(found));
    let failing = vec![(PathBuf::from("stored"), vec![0xff; 25])];
    assert_eq!(search(failing, target, 7, minute), Err("fails on stored".to_owned()));
}
