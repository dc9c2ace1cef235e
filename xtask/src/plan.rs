//! The steps of `cargo xtask test`, in order, and what each runs.

use std::cell::OnceCell;
use std::process::Command;
use std::time::Instant;

use crate::command::{cargo, run_quietly};
use crate::install::install;
use crate::ledger::Ledger;
use crate::outcome::{Outcome, of_cargo_test, of_nextest};
use crate::redis::{self, Redis};
use crate::report::Report;
use crate::scratch::Scratch;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Install,
    Format,
    Lint,
    Build,
    Rust,
    EndToEnd,
    Doc,
}

/// More than cores: these tests wait for one another's processes most of the time.
const END_TO_END_THREADS: usize = 4;

const STEPS: [Step; 7] =
    [Step::Install, Step::Format, Step::Lint, Step::Build, Step::Rust, Step::EndToEnd, Step::Doc];

impl Step {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Install => "install",
            Self::Format => "fmt",
            Self::Lint => "clippy",
            Self::Build => "build",
            Self::Rust => "rust",
            Self::EndToEnd => "e2e",
            Self::Doc => "doc",
        }
    }

    pub(crate) fn named(name: &str) -> Option<Self> {
        STEPS.into_iter().find(|step| step.name() == name)
    }

    /// What has to be there before this step can be run alone.
    fn needs(self) -> &'static [Self] {
        match self {
            Self::EndToEnd | Self::Rust => &[Self::Install, Self::Build],
            _ => &[],
        }
    }
}

pub(crate) fn test(only: Option<Step>, long: bool) -> anyhow::Result<bool> {
    let steps: Vec<Step> = match only {
        None => STEPS.to_vec(),
        Some(step) => step.needs().iter().copied().chain([step]).collect(),
    };
    run(&steps, long)
}

pub(crate) fn check() -> anyhow::Result<bool> {
    run(&[Step::Format, Step::Lint], false)
}

fn run(steps: &[Step], long: bool) -> anyhow::Result<bool> {
    let runner = Runner {
        nextest: has_nextest(),
        long,
        ledger: Ledger::new(),
        scratch: Scratch::new(),
        redis: OnceCell::new(),
    };
    let mut report = Report::default();
    for (index, &step) in steps.iter().enumerate() {
        println!("[{}/{}] {}", index + 1, steps.len(), step.name());
        let start = Instant::now();
        let (fine, outcome) = runner.run(step)?;
        report.step(step.name(), start.elapsed(), fine, outcome);
        if !fine && matches!(step, Step::Install | Step::Build) {
            println!("    the steps behind it need it: stopping here");
            break;
        }
    }
    Ok(report.close())
}

struct Runner {
    nextest: bool,
    long: bool,
    ledger: Ledger,
    /// For all tests that do it no harm; from the first step that needs it to the end of the run.
    redis: OnceCell<Redis>,
    /// Behind the Redis in it: what it keeps there goes last.
    scratch: Scratch,
}

impl Runner {
    fn run(&self, step: Step) -> anyhow::Result<(bool, Outcome)> {
        if step == Step::Install {
            return Ok(match install() {
                Ok(()) => (true, Outcome::default()),
                Err(error) => {
                    println!("{error:#}");
                    (false, Outcome::default())
                }
            });
        }
        let mut command = self.command(step);
        if matches!(step, Step::Rust | Step::EndToEnd) {
            match self.redis() {
                Ok(redis) => command.env(redis::VARIABLE, redis.nodes()),
                Err(error) => {
                    println!("{error:#}");
                    return Ok((false, Outcome::default()));
                }
            };
        }
        let finished = run_quietly(&mut command)?;
        let mut outcome = match step {
            Step::Rust | Step::EndToEnd if self.nextest => of_nextest(&finished.output),
            Step::Rust | Step::EndToEnd | Step::Doc => of_cargo_test(&finished.output),
            _ => Outcome::default(),
        };
        if step == Step::EndToEnd {
            self.ledger.settle(&mut outcome);
        }
        if !finished.status.success() {
            println!("{}", telling(&finished.output));
        }
        Ok((finished.status.success(), outcome))
    }

    fn redis(&self) -> anyhow::Result<&Redis> {
        if self.redis.get().is_none() {
            let _ = self.redis.set(Redis::start(&self.scratch)?);
        }
        Ok(self.redis.get().expect("it was set just now"))
    }

    fn command(&self, step: Step) -> Command {
        let mut cargo = cargo();
        match step {
            Step::Install => unreachable!("it is no single command"),
            Step::Format => cargo.args(["fmt", "--all", "--check"]),
            Step::Lint => {
                cargo.args(["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"])
            }
            // With the tests, so that dependencies are built with the one set of features that both need.
            Step::Build => cargo.args(["build", "--workspace", "--all-targets", "--locked"]),
            Step::Rust => self.tests(
                &mut cargo,
                "not package(turnpike-tests)",
                &["--workspace", "--exclude=turnpike-tests"],
            ),
            Step::EndToEnd => {
                let cargo = self.tests(&mut cargo, "package(turnpike-tests)", &["--package=turnpike-tests"]);
                if self.nextest { cargo.arg(format!("--test-threads={END_TO_END_THREADS}")) } else { cargo }
            }
            Step::Doc => cargo.args(["test", "--workspace", "--doc", "--locked"]),
        };
        // A failed test says what it expected; the way there is asked for by hand.
        cargo.env("XTASK_LEDGER", self.ledger.path()).env("RUST_BACKTRACE", "0");
        if matches!(step, Step::Rust | Step::EndToEnd) {
            self.scratch.offer(&mut cargo);
        }
        cargo
    }

    /// nextest takes a filter and leaves the set of packages, and so of features, as it was built.
    fn tests<'a>(&self, cargo: &'a mut Command, filter: &str, packages: &[&str]) -> &'a mut Command {
        if self.nextest {
            cargo.args(["nextest", "run", "--workspace", "--locked", "--no-fail-fast", "--no-tests=pass"]);
            cargo.args(["--color=never", "--status-level=pass", "--failure-output=final", "-E", filter]);
            return if self.long { cargo.args(["--run-ignored", "all"]) } else { cargo };
        }
        cargo.args(["test", "--locked", "--no-fail-fast", "--all-targets"]).args(packages);
        if self.long { cargo.args(["--", "--include-ignored"]) } else { cargo }
    }
}

/// Of a failed step's output what may say why: not that thousands of tests have passed.
fn telling(output: &[String]) -> String {
    let passed = |line: &str| line.trim_start().starts_with("PASS [");
    output.iter().map(String::as_str).filter(|line| !passed(line)).collect::<Vec<_>>().join("\n")
}

fn has_nextest() -> bool {
    cargo().args(["nextest", "--version"]).output().is_ok_and(|output| output.status.success())
}
