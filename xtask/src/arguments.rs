//! The command line. By hand, because a parser crate would triple the time until the toolbox is built.

use crate::plan::Step;

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Task {
    Help,
    Test { only: Option<Step>, long: bool },
    Check,
    Bench(Vec<String>),
    Cluster(Vec<String>),
    Docs,
    Fuzz { target: Option<String>, seconds: u64 },
}

/// Long enough to find something that the two seconds of the ordinary tests do not.
const FUZZ_SECONDS: u64 = 60;

pub(crate) fn parse(arguments: impl IntoIterator<Item = String>) -> Result<Task, String> {
    let mut arguments = arguments.into_iter().peekable();
    let task = arguments.next();
    // Others have a help of their own.
    if matches!(task.as_deref(), Some("test" | "check" | "docs" | "fuzz" | "cluster"))
        && arguments.next_if(|argument| ["--help", "-h"].contains(&argument.as_str())).is_some()
    {
        return Ok(Task::Help);
    }
    match task.as_deref() {
        None | Some("help" | "--help" | "-h") => Ok(Task::Help),
        Some("test") => {
            let (mut only, mut long) = (None, false);
            while let Some(argument) = arguments.next() {
                match argument.as_str() {
                    "--long" => long = true,
                    "--only" => {
                        let name = arguments.next().ok_or("--only wants the name of a step")?;
                        only = Some(Step::named(&name).ok_or_else(|| format!("no step is called {name}"))?);
                    }
                    _ => return Err(unknown(&argument)),
                }
            }
            Ok(Task::Test { only, long })
        }
        Some("check") => arguments.next().map_or(Ok(Task::Check), |argument| Err(unknown(&argument))),
        // `cargo xtask bench -- echo` says the same as without the dashes.
        Some("bench") => Ok(Task::Bench(arguments.skip_while(|argument| argument == "--").collect())),
        Some("cluster") => match arguments.next() {
            Some(what) if ["up", "down", "status"].contains(&what.as_str()) => {
                Ok(Task::Cluster([what].into_iter().chain(arguments).collect()))
            }
            _ => Err("cluster wants up, down or status".into()),
        },
        Some("docs") => arguments.next().map_or(Ok(Task::Docs), |argument| Err(unknown(&argument))),
        Some("fuzz") => {
            let (mut target, mut seconds) = (None, FUZZ_SECONDS);
            while let Some(argument) = arguments.next() {
                match argument.as_str() {
                    "--seconds" => {
                        seconds = arguments
                            .next()
                            .and_then(|text| text.parse().ok())
                            .ok_or("--seconds wants a whole number")?;
                    }
                    _ if argument.starts_with('-') || target.is_some() => return Err(unknown(&argument)),
                    _ => target = Some(argument),
                }
            }
            Ok(Task::Fuzz { target, seconds })
        }
        Some(other) => Err(format!("no task is called {other}")),
    }
}

fn unknown(argument: &str) -> String {
    format!("{argument} means nothing here")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Task, String> {
        parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn tasks() {
        assert_eq!(parsed(""), Ok(Task::Help));
        assert_eq!(parsed("test"), Ok(Task::Test { only: None, long: false }));
        assert_eq!(
            parsed("test --long --only e2e"),
            Ok(Task::Test { only: Some(Step::EndToEnd), long: true })
        );
        assert_eq!(
            parsed("fuzz frame --seconds 5"),
            Ok(Task::Fuzz { target: Some("frame".into()), seconds: 5 })
        );
        assert_eq!(
            parsed("cluster up --gateways 3"),
            Ok(Task::Cluster(vec!["up".into(), "--gateways".into(), "3".into()]))
        );
        assert_eq!(parsed("bench --json fan-out"), Ok(Task::Bench(vec!["--json".into(), "fan-out".into()])));
        assert_eq!(parsed("docs"), Ok(Task::Docs));
        assert_eq!(parsed("bench -- echo --rounds 1"), parsed("bench echo --rounds 1"));
    }

    #[test]
    fn help_is_asked_for_in_any_way() {
        for line in ["help", "--help", "-h", "test --help", "fuzz -h", "cluster --help"] {
            assert_eq!(parsed(line), Ok(Task::Help), "{line}");
        }
        assert_eq!(parsed("bench -- --help"), Ok(Task::Bench(vec!["--help".into()])));
    }

    #[test]
    fn every_example_is_understood() {
        let (_, examples) = crate::USAGE.split_once("Examples:\n").unwrap();
        let examples: Vec<&str> =
            examples.lines().map_while(|line| line.strip_prefix("  cargo xtask ")).collect();
        assert_eq!(examples.len(), 5);
        for example in examples {
            let line = example.split("  ").next().unwrap();
            assert!(parsed(line).is_ok(), "{line}");
        }
    }

    #[test]
    fn faults_are_told() {
        for line in [
            "tset",
            "test --only nothing",
            "test --only",
            "test now",
            "check it",
            "fuzz a b",
            "cluster",
            "cluster sideways",
            "fuzz --seconds x",
        ] {
            assert!(parsed(line).is_err(), "{line}");
        }
    }
}
