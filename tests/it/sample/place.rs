//! Where a service of the file is on this machine: an address of its own in 127.0.0.0/8 with the ports of the file, and a folder
//! in place of the root of its container.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use super::compose::Service;

/// One service.
#[derive(Debug, Clone)]
pub struct Place {
    pub address: Ipv4Addr,
    /// It works here, too.
    pub root: PathBuf,
    /// What it is called by the others, and where they reach it in the networks of the file.
    names: Vec<String>,
    addresses: Vec<String>,
    /// What of its container's paths is there, the longest first, and where.
    paths: Vec<(String, PathBuf)>,
}

impl Place {
    pub fn new(name: &str, service: &Service, address: Ipv4Addr, root: PathBuf) -> Self {
        let mut names = service.aliases.clone();
        names.push(name.to_owned());
        let mut paths: Vec<(String, PathBuf)> = service
            .mounts
            .iter()
            .map(|mount| mount.target.clone())
            .chain(["/run/secrets".to_owned()])
            .map(|target| {
                let is_home = service.working_dir.as_ref() == Some(&target);
                let there = if is_home { root.clone() } else { root.join(target.trim_start_matches('/')) };
                (target, there)
            })
            .collect();
        paths.sort_by_key(|(target, _)| std::cmp::Reverse(target.len()));
        Self { address, root, names, addresses: service.addresses.clone(), paths }
    }

    /// Where a path of its container is.
    pub fn path(&self, target: &str) -> &Path {
        let found = self.paths.iter().find(|(known, _)| known == target);
        &found.unwrap_or_else(|| panic!("{target} is mounted")).1
    }

    /// A text that this service reads, with places of this machine in place of those of the file.
    pub fn translated(&self, text: &str, all: &[Self]) -> String {
        let mut text = replaced(text, "0.0.0.0", &self.address.to_string());
        for place in all {
            let address = place.address.to_string();
            for other in &place.addresses {
                text = replaced(&text, other, &address);
            }
            for name in &place.names {
                // With a port; by itself it may well be something else, such as the name of a node.
                text = replaced(&text, &format!("{name}:"), &format!("{address}:"));
            }
        }
        for (target, there) in &self.paths {
            text = replaced(&text, target, there.to_str().expect("temporary folders have plain names"));
        }
        text
    }
}

/// Whole words alone: `/run` is no part of `/run/secrets` that was replaced already, `redis-1:` none of `my-redis-1:`.
fn replaced(text: &str, from: &str, to: &str) -> String {
    let is_word = |letter: char| letter.is_ascii_alphanumeric() || "._-/".contains(letter);
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(from) {
        let (before, behind) = (&rest[..at], &rest[at + from.len()..]);
        let begins = !before.chars().next_back().or(out.chars().next_back()).is_some_and(is_word);
        let ends = from.ends_with(':')
            || !behind
                .starts_with(|letter: char| is_word(letter) && !(from.starts_with('/') && letter == '/'));
        out.push_str(before);
        out.push_str(if begins && ends { to } else { from });
        rest = behind;
    }
    out + rest
}

#[test]
fn words_are_replaced_and_parts_of_words_are_not() {
    for (text, from, to, expected) in [
        ("a redis-1:6379,redis-1:1", "redis-1:", "127.0.0.9:", "a 127.0.0.9:6379,127.0.0.9:1"),
        ("gateway-1 my-redis-1:6379", "redis-1:", "127.0.0.9:", "gateway-1 my-redis-1:6379"),
        ("10.89.2.41,10.89.2.4", "10.89.2.4", "x", "10.89.2.41,x"),
        ("file:/run/secrets/a /run/secretsb", "/run/secrets", "/t", "file:/t/a /run/secretsb"),
        ("/tmp/run/nginx", "/run", "/t", "/tmp/run/nginx"),
    ] {
        assert_eq!(replaced(text, from, to), expected);
    }
}
