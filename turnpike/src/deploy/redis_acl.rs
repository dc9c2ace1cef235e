//! The users of Redis: nobody without a password, none that may do everything, and no password as it is.

use super::file::{File, Found};
use super::{Kind, Surroundings};

pub(super) const KIND: Kind = Kind {
    name: "users of Redis",
    is: |file| file.path.extension().is_some_and(|extension| extension == "acl"),
    check,
};

fn check(file: &File, _: &Surroundings<'_>) -> Vec<Found> {
    let mut found = Vec::new();
    let mut default_is_off = false;
    for said in file.directives(&[' ', '\t']).filter(|said| said.name == "user") {
        let mut rules = said.value.split_whitespace();
        let name = rules.next().unwrap_or_default();
        let rules: Vec<&str> = rules.collect();
        let mut fault = |problem: &str, remedy: &str| {
            found.push(Found::new(format!("user {name}"), Some(said.line), problem, remedy));
        };
        let has = |words: &[&str]| rules.iter().any(|rule| words.contains(rule));
        if name == "default" {
            default_is_off = has(&["off"]) && !has(&["on"]);
            continue;
        }
        if has(&["nopass"]) {
            fault("needs no password", "expected `#` and the SHA-256 of one");
        }
        if rules.iter().any(|rule| rule.starts_with('>')) {
            fault("has its password in the file as it is", "expected `#` and the SHA-256 of it");
        }
        let is_digest =
            |digest: &str| digest.len() == 64 && digest.bytes().all(|byte| byte.is_ascii_hexdigit());
        if rules.iter().filter_map(|rule| rule.strip_prefix('#')).any(|digest| !is_digest(digest)) {
            fault("has something that is no SHA-256", "expected `#` and 64 hexadecimal digits");
        }
        if !rules.iter().any(|rule| rule.starts_with(['#', '>'])) && !has(&["nopass"]) && !has(&["off"]) {
            fault("has no password", "expected `#` and the SHA-256 of one");
        }
        if has(&["+@all", "allcommands"]) {
            fault("may run every command", "expected those of the sample");
        }
        if has(&["~*", "allkeys"]) {
            fault("may touch every key", "expected those that begin with TURNPIKE_REDIS_PREFIX");
        }
    }
    if !default_is_off {
        let problem = "lets in whoever reaches the port";
        found.push(Found::new("user default", None, problem, "expected `user default off`"));
    }
    found.extend(file.exposed("users", None));
    found
}
