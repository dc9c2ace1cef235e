//! Every file of `deploy/` is read, and what it names is there: keys, names of the environment, commands, ports, probes, metrics,
//! other files. Whether the system works that they describe is shown by `tests/it/sample.rs`.

mod compose;
mod image;
mod kubernetes;
pub(crate) mod product;
mod units;

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use self::product::Product;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn deploy() -> PathBuf {
    root().join("deploy")
}

fn text(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// All that is shipped, which is what is in version control: an operator's secrets may be beside it.
fn files() -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![deploy()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            match path.file_name().unwrap().to_str().unwrap() {
                "secrets" | ".env" => {}
                _ if path.is_dir() => folders.push(path),
                _ => found.push(path),
            }
        }
    }
    assert!(found.len() > 30, "{found:?}");
    found
}

/// The documents of a YAML file.
fn yaml(path: &Path) -> Vec<Value> {
    serde_saphyr::from_multiple(&text(path)).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn every_file_can_be_read_by_what_reads_it() {
    for path in files() {
        let (name, shown) = (path.file_name().unwrap().to_str().unwrap(), path.display());
        let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
        match (name, extension) {
            (_, "yaml" | "yml") => assert!(!yaml(&path).is_empty(), "{shown}"),
            (_, "json") => drop(
                serde_json::from_str::<Value>(&text(&path))
                    .unwrap_or_else(|error| panic!("{shown}: {error}")),
            ),
            (_, "toml") => product::keys_of(&path),
            (_, "service") => assert!(units::sections(&text(&path)).len() >= 3, "{shown}"),
            (_, "env") => assert!(!units::assignments(&text(&path)).is_empty(), "{shown}"),
            ("Dockerfile", _) => assert!(image::instructions(&text(&path)).len() > 5, "{shown}"),
            ("check" | "form" | "make-secrets", _) => {
                assert!(text(&path).starts_with("#!/bin/sh\n"), "{shown}");
                let sound = Command::new("sh").arg("-n").arg(&path).status().unwrap();
                assert!(sound.success(), "{shown}");
            }
            // Their own programs read them in `tests/it`: redis-server in sample.rs, turnserver in turn.rs.
            ("redis.conf" | "users.acl" | "coturn.conf" | "README.md" | ".gitignore", _) => {}
            _ => panic!("{shown} is read by no test"),
        }
    }
}

/// Whatever looks like one of our metrics is one. Of dashboards and alerts `tests/it/prometheus.rs` knows more.
#[test]
fn every_metric_that_is_named_exists() {
    let product = Product::new();
    let mut named = 0;
    let watching = ["grafana", "prometheus"].map(|folder| deploy().join(folder));
    for path in files().into_iter().filter(|path| !watching.iter().any(|folder| path.starts_with(folder))) {
        let text = text(&path);
        let words = text.split(|letter: char| !letter.is_ascii_alphanumeric() && !"_:".contains(letter));
        for word in words.filter(|word| {
            ["turnpike_gateway_", "turnpike_media_", "turnpike_router_", "turnpike_audit_"]
                .iter()
                .any(|part| word.starts_with(part))
        }) {
            let base =
                ["_bucket", "_sum", "_count"].iter().find_map(|end| word.strip_suffix(end)).unwrap_or(word);
            let is_one = product.metrics.contains(word) || product.metrics.contains(base);
            assert!(is_one, "{}: there is no metric {word}", path.display());
            named += 1;
        }
    }
    assert!(named > 0);
}
