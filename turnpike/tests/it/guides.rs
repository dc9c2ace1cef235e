//! The operator's guides: commands, names, checks and links in them are there, and the estimates are those of the program.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::process::{Directory, run, stdout};
use crate::shipped::product::Product;

const GUIDES: [&str; 2] = ["docs/operations.md", "docs/sizing.md"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn text(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// What stands between backticks, and lines of blocks.
fn code(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut in_block = false;
    for line in text.lines() {
        if line.starts_with("```") {
            in_block = !in_block;
        } else if in_block {
            found.push(line.to_owned());
        } else {
            found.extend(line.split('`').skip(1).step_by(2).map(ToOwned::to_owned));
        }
    }
    found
}

#[test]
fn commands_are_those_of_the_program() {
    let product = Product::new();
    let mut seen = BTreeSet::new();
    for guide in GUIDES {
        for code in code(&text(guide)) {
            let Some(rest) = code.strip_prefix("turnpike ") else { continue };
            product.must_have_command(rest.split(' ').next().unwrap(), guide);
            let said = stdout(run(&Directory::new(), &["help", "--all"], &[]));
            for flag in rest.split(' ').filter(|word| word.starts_with("--")) {
                assert!(said.contains(flag), "{guide}: {code}: no {flag}");
            }
            seen.insert(code);
        }
    }
    assert!(seen.len() > 10, "{seen:?}");
}

/// A figure names the command that makes it, and what it made last is kept.
#[test]
fn figures_were_measured() {
    let codes = code(&text("docs/sizing.md"));
    let measured: Vec<&str> = codes
        .iter()
        .filter_map(|code| code.strip_prefix("cargo xtask bench -- "))
        .flat_map(|rest| rest.split(' '))
        .collect();
    assert!(measured.len() > 5, "{measured:?}");
    for scenario in measured {
        assert!(root().join(format!("benches/results/{scenario}.jsonl")).is_file(), "{scenario}");
    }
}

#[test]
fn names_of_the_environment_and_metrics_are_known() {
    let product = Product::new();
    for guide in GUIDES {
        let codes = code(&text(guide));
        for word in codes.iter().flat_map(|code| code.split([' ', '=', '\'', '"', '(', '{', ','])) {
            let is_name = word.len() > 3
                && word.contains('_')
                && word.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_');
            assert!(!is_name || product.environment.contains_key(word), "{guide}: {word}");
            let is_metric = ["turnpike_gateway_", "turnpike_router_", "turnpike_media_"]
                .iter()
                .any(|part| word.starts_with(part));
            assert!(!is_metric || product.metrics.contains(word), "{guide}: {word}");
        }
    }
}

#[test]
fn links_lead_somewhere() {
    for guide in GUIDES {
        let text = text(guide);
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
            let path = root().join("docs").join(file);
            assert!(path.exists(), "{guide}: {target}");
            let heading = |line: &str| line.trim_start_matches('#').trim().to_lowercase().replace(' ', "-");
            let there = std::fs::read_to_string(&path).unwrap_or_default();
            let has = there.lines().any(|line| line.starts_with('#') && heading(line) == anchor);
            assert!(anchor.is_empty() || has, "{guide}: {target}");
        }
    }
}

/// Every check of the doctor is explained, and none that it does not make.
#[test]
fn the_doctor_is_described() {
    let guide = text("docs/operations.md");
    let table = guide.split("## What the doctor looks at").nth(1).unwrap().split("\n## ").next().unwrap();
    let rows = table.lines().filter(|line| line.starts_with("| `"));
    let named: BTreeSet<String> = rows.flat_map(|row| code(row.split('|').nth(1).unwrap())).collect();
    let mut sources = Vec::new();
    for folder in ["crates/cluster/src/redis/check", "turnpike/src/doctor"] {
        for entry in std::fs::read_dir(root().join(folder)).unwrap() {
            sources.push(std::fs::read_to_string(entry.unwrap().path()).unwrap());
        }
    }
    for name in &named {
        let quoted = format!("\"{name}\"");
        assert!(sources.iter().any(|source| source.contains(&quoted)), "there is no check {name}");
    }
    for source in &sources {
        for made in source.split("const CHECK: &str = \"").skip(1).filter_map(|rest| rest.split('"').next()) {
            assert!(named.contains(made), "{made} is not in the guide");
        }
    }
}

#[test]
fn estimates_are_those_of_the_program() {
    let mut table = String::from(
        "\n\n| connections | rooms | gateways | memory of each | of a room | masters of Redis | memory of each |\n\
         | --- | --- | --- | --- | --- | --- | --- |\n",
    );
    for connections in ["10000", "100000", "250000", "1000000", "5000000"] {
        for (rooms, more) in [("anywhere", &[][..]), ("at one node", &["--nodes-of-a-room", "1"])] {
            let arguments = [&["size", "--connections", connections, "--json"], more].concat();
            let plan: Value = serde_json::from_str(&stdout(run(&Directory::new(), &arguments, &[]))).unwrap();
            let gib = |bytes: u64| format!("{:.1} GiB", bytes as f64 / f64::from(1 << 30));
            let number = |name: &str| plan[name].as_u64().unwrap();
            let masters = number("redis_masters");
            let redis = number("redis_bytes").div_ceil(masters) * 2 + (512 << 20);
            let row = [
                connections.to_owned(),
                rooms.to_owned(),
                number("gateways").to_string(),
                gib(number("gateway_bytes")),
                number("nodes_of_a_room").to_string(),
                masters.to_string(),
                gib(redis),
            ];
            writeln!(table, "| {} |", row.join(" | ")).unwrap();
        }
    }
    table.push('\n');
    let marks = ["<!-- Made from the code: UPDATE_DOCS=1 cargo test -p turnpike -->", "<!-- end -->"];
    turnpike_lab::hold_document(&root().join("docs/sizing.md"), marks, &table, "cargo test -p turnpike");
}

#[test]
fn a_size_is_asked_for_properly() {
    let refused = |arguments: &[&str]| {
        let output = run(&Directory::new(), arguments, &[]);
        assert_eq!(output.status.code(), Some(64));
        String::from_utf8(output.stderr).unwrap()
    };
    assert!(refused(&["size"]).contains("--connections"));
    assert!(refused(&["size", "--connections", "many"]).contains("is no whole number"));
    let said =
        stdout(run(&Directory::new(), &["size", "--connections", "100_000", "--viewers", "1000"], &[]));
    for line in ["gateways  ", "redis     3 masters", "relays    2", "routers   2"] {
        assert!(said.contains(line), "{said}");
    }
}
