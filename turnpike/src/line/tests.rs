//! What must hold of every command.

use std::collections::{BTreeSet, HashSet};
use std::path::Path;

use turnpike_daemon::config::{Environment, Faults, Place, Settings as _};

use super::asked::switches;
use super::{ROOT, Spec, document, tree};
use crate::command::{self, Command};
use crate::config::Config;

/// Those that print no data: what they are for is not an answer.
const WITHOUT_JSON: [&str; 7] = [
    // Their line for programs is JSON anyway.
    "turnpike",
    "turnpike gateway",
    "turnpike relay",
    "turnpike router",
    "turnpike completions",
    "turnpike man",
    "turnpike help",
];

fn every(mut see: impl FnMut(&[&'static str], &'static Spec)) {
    ROOT.walk(&mut see);
}

/// A command line as a shell takes it apart, up to the first program that is given its output.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quoted, mut begun) = (Vec::new(), String::new(), false, false);
    for letter in line.chars() {
        match letter {
            '\'' => (quoted, begun) = (!quoted, true),
            ' ' if !quoted => {
                if begun {
                    words.push(std::mem::take(&mut word));
                }
                begun = false;
            }
            '|' | '>' if !quoted && !begun => return words,
            _ => {
                word.push(letter);
                begun = true;
            }
        }
    }
    if begun {
        words.push(word);
    }
    words
}

fn parsed(line: &str) -> anyhow::Result<Command> {
    let words = words(line);
    let (set, rest): (Vec<_>, Vec<_>) = {
        let at = words.iter().position(|word| word == "turnpike").expect("it calls the program");
        (words[..at].to_vec(), words[at + 1..].to_vec())
    };
    // What they ask of their surroundings, so that only the line itself is in question.
    let given = [
        ("JWT_SECRET", "c3f1a97be0d2465890fe17ab34cd62b8"),
        ("REDIS_NODES", "127.0.0.1:6379"),
        ("CORS_ORIGIN", "https://a.example"),
    ];
    let set = set.iter().filter_map(|pair| pair.split_once('='));
    let environment: Environment = given
        .into_iter()
        .filter(|(name, _)| *name != "REDIS_NODES" || !line.contains("--redis-nodes"))
        .chain(set)
        .collect();
    command::parse(command::arguments(rest.into_iter().map(Into::into)), environment)
}

#[test]
fn every_command_has_help_examples_and_a_form_for_scripts() {
    let mut seen = 0;
    every(|path, spec| {
        let name = path.join(" ");
        seen += 1;
        assert!(spec.about.len() > 10 && !spec.about.ends_with('.'), "{name}: about");
        assert!(spec.more.is_empty() || spec.more.ends_with('.'), "{name}: more");
        assert_eq!(spec.runs, !spec.examples.is_empty(), "{name}: examples");
        assert!(spec.runs || !spec.commands.is_empty(), "{name} does nothing");
        for example in spec.examples {
            let own = words(example.0).join(" ");
            assert!(own.contains(&name) || path.last() == Some(&"help"), "{name}: {}", example.0);
            assert!(!example.1.is_empty(), "{name}: what {} is for", example.0);
        }
        if spec.runs {
            assert_eq!(spec.has_flag("json"), !WITHOUT_JSON.contains(&name.as_str()), "{name}: --json");
        }
        for flag in spec.flags() {
            assert!(flag.about.len() > 1 && !flag.about.ends_with('.'), "{name} --{}", flag.name);
        }
        let names: HashSet<&str> = spec.flags().map(|flag| flag.name).collect();
        assert_eq!(names.len(), spec.flags().count(), "{name}: a flag stands there twice");
        let codes: HashSet<u8> = spec.exits().iter().map(|exit| exit.0).collect();
        assert_eq!(codes.len(), spec.exits().len(), "{name}: a code stands there twice");
        assert!([0, 1, 64].iter().all(|code| codes.contains(code)), "{name}");
    });
    assert!(seen > 45, "{seen}");
}

#[test]
fn every_example_is_understood() {
    every(|_, spec| {
        for example in spec.examples {
            let Err(error) = parsed(example.0) else { continue };
            let faults = error.downcast_ref::<Faults>().unwrap_or_else(|| panic!("{}: {error:#}", example.0));
            // Files that it names, and what production asks for, are not here.
            let is_ours =
                |place: &Place| !matches!(place, Place::File { .. } | Place::Environment(_) | Place::Default);
            let own: Vec<_> = faults.0.iter().filter(|fault| is_ours(&fault.place)).collect();
            assert!(own.is_empty(), "{}: {own:?}", example.0);
        }
    });
}

/// One name is one thing, on every line.
#[test]
fn a_flag_takes_a_value_everywhere_or_nowhere() {
    let switches: BTreeSet<&str> = switches().into_iter().collect();
    every(|path, spec| {
        for flag in spec.flags() {
            assert_eq!(switches.contains(flag.name), flag.value.is_none(), "{path:?} --{}", flag.name);
        }
    });
}

#[test]
fn keys_that_commands_go_by_are_declared() {
    let sections = Config::sections();
    let known: HashSet<&str> = sections.iter().flat_map(|section| section.keys).map(|key| key.path).collect();
    every(|path, spec| {
        if let super::Keys::These(names) = spec.keys {
            for name in names {
                assert!(known.contains(name), "{path:?}: {name}");
            }
        }
    });
}

/// clap holds what a tree must hold: no name twice, words in an order that can be told apart.
#[test]
fn the_tree_is_one() {
    for mut tree in [tree::tree(), tree::tree_with_keys()] {
        tree.build();
        tree.clone().debug_assert();
        let (mut ours, mut theirs) = (0, 0);
        every(|path, spec| {
            ours += 1;
            let mut found = &tree;
            for word in &path[1..] {
                found = found.find_subcommand(word).unwrap_or_else(|| panic!("{path:?}"));
            }
            assert_eq!(found.get_about().unwrap().to_string(), spec.about);
            for flag in spec.flags() {
                assert!(
                    found.get_arguments().any(|arg| arg.get_long() == Some(flag.name)),
                    "{path:?} --{}",
                    flag.name
                );
            }
        });
        count(&tree, &mut theirs);
        assert_eq!(ours, theirs);
    }
}

fn count(command: &clap::Command, sum: &mut usize) {
    *sum += 1;
    command.get_subcommands().for_each(|command| count(command, sum));
}

#[test]
fn slips_are_answered_with_what_was_meant() {
    for (line, remedy) in [
        ("turnpike audti verify", "did you mean `turnpike audit`?"),
        ("turnpike audit verfy", "did you mean `turnpike audit verify`?"),
        ("turnpike admin bans ad --user x", "did you mean `turnpike admin bans add`?"),
        ("turnpike deploy", "did you mean"),
        ("turnpike admin", "expected `nodes`, `node`, `bans`"),
        ("turnpike admin revoke user", "expected the user: `turnpike admin revoke user ID [FLAGS]`"),
        ("turnpike completions", "for which shell"),
        ("turnpike completions ksh", "expected bash, zsh, fish"),
        ("turnpike token --usr alice", "did you mean --user?"),
        ("turnpike audit verify --anchor x", "did you mean --anchors?"),
        ("turnpike admin nodes --jsno", "did you mean --json?"),
        ("turnpike --heartbeat-intervall 5s", "did you mean --heartbeat-interval?"),
        ("turnpike doctor now", "`turnpike doctor --help` says what it takes"),
        ("turnpike help audti", "did you mean `turnpike audit`?"),
        ("turnpike help token alice", "`turnpike token --help` says what it takes"),
    ] {
        let Err(error) = parsed(line) else { panic!("{line} is understood") };
        let said = error.to_string();
        assert!(
            error.is::<Faults>() && (said.contains(remedy) || line == "turnpike deploy"),
            "{line}: {said}"
        );
    }
}

#[test]
fn help_is_asked_for_in_any_way() {
    let help = |line: &str| match parsed(line) {
        Ok(Command::Help(text)) => text,
        _ => panic!("{line}"),
    };
    let verify = help("turnpike audit verify --help");
    for line in
        ["turnpike help audit verify", "turnpike audit verify -h", "turnpike audit verify --prot 1 --help"]
    {
        assert_eq!(help(line), verify, "{line}");
    }
    for part in [
        "Usage: turnpike audit verify [FLAGS]",
        "--anchors <PATH>",
        "Examples:\n  turnpike audit",
        "Exit codes:\n    0  sound",
    ] {
        assert!(verify.contains(part), "no {part:?} in\n{verify}");
    }
    assert!(help("turnpike admin --help").contains("log-level"));
    assert!(help("turnpike help configuration").contains("--heartbeat-interval"));
    let all = help("turnpike help --all");
    every(|path, spec| assert!(all.contains(&spec.usage(path)), "{path:?}"));
    assert!(all.lines().all(|line| line.chars().count() <= 200), "{all}");
}

/// `UPDATE_DOCS=1 cargo test -p turnpike` writes it anew.
#[test]
fn the_document_is_what_the_code_says() {
    const MARKS: [&str; 2] =
        ["<!-- Made from the code: UPDATE_DOCS=1 cargo test -p turnpike -->\n", "<!-- end -->"];
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/commands.md");
    turnpike_lab::hold_document(Path::new(path), MARKS, &document::document(), "cargo test -p turnpike");
}
