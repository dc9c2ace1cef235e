//! What of a compose file has a meaning without containers: which services there are, what each is told, what it is given to
//! read and write, and whom it waits for.

use std::collections::BTreeMap;

use serde_json::Value;

pub struct Compose {
    /// By name.
    pub services: BTreeMap<String, Service>,
    /// Files, as the file says them.
    pub secrets: BTreeMap<String, String>,
}

#[derive(Debug, Clone)]
pub struct Service {
    pub image: String,
    pub command: Vec<String>,
    pub environment: Vec<(String, String)>,
    pub mounts: Vec<Mount>,
    pub secrets: Vec<String>,
    /// In the networks of the file.
    pub addresses: Vec<String>,
    /// Names beside its own.
    pub aliases: Vec<String>,
    pub working_dir: Option<String>,
    pub after: Vec<String>,
}

#[derive(Debug, Clone)]
pub struct Mount {
    /// A path relative to the file, or nothing: a volume, or memory.
    pub source: Option<String>,
    pub target: String,
}

impl Compose {
    /// `variables` are those that the shell would give.
    pub fn parse(text: &str, variables: &dyn Fn(&str) -> Option<String>) -> Self {
        let file: Value = serde_saphyr::from_str(text).expect("it is YAML");
        let file = interpolated(&file, variables);
        let services = file["services"].as_object().expect("it has services");
        let services = services.iter().map(|(name, service)| (name.clone(), Service::of(service))).collect();
        let secrets = file["secrets"].as_object().expect("it has secrets");
        let secrets = secrets.iter().map(|(name, secret)| (name.clone(), word(&secret["file"]))).collect();
        Self { services, secrets }
    }
}

impl Service {
    fn of(service: &Value) -> Self {
        let networks = service["networks"].as_object();
        let networks = || networks.into_iter().flat_map(|networks| networks.values());
        let volumes = words(&service["volumes"]).into_iter().map(|volume| {
            let mut parts = volume.split(':');
            let (source, target) =
                (parts.next().unwrap_or_default(), parts.next().expect("a volume has a place"));
            Mount { source: source.starts_with('.').then(|| source.to_owned()), target: target.to_owned() }
        });
        let memory = words(&service["tmpfs"]).into_iter().map(|target| Mount { source: None, target });
        Self {
            image: word(&service["image"]),
            command: words(&service["command"]),
            environment: pairs(&service["environment"]),
            mounts: volumes.chain(memory).collect(),
            secrets: words(&service["secrets"]),
            addresses: networks().map(|network| word(&network["ipv4_address"])).collect(),
            aliases: networks().flat_map(|network| words(&network["aliases"])).collect(),
            working_dir: service["working_dir"].as_str().map(ToOwned::to_owned),
            after: pairs(&service["depends_on"])
                .into_iter()
                .map(|(name, _)| name)
                .chain(words(&service["depends_on"]))
                .collect(),
        }
    }
}

fn word(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

/// None where it is no list.
fn words(value: &Value) -> Vec<String> {
    value.as_array().map(|list| list.iter().map(word).collect()).unwrap_or_default()
}

/// None where it is no map.
fn pairs(value: &Value) -> Vec<(String, String)> {
    let map = value.as_object();
    map.map(|map| map.iter().map(|(name, value)| (name.clone(), word(value))).collect()).unwrap_or_default()
}

/// `${NAME:?why it must be there}`, and `$$` for a dollar.
fn interpolated(value: &Value, variables: &dyn Fn(&str) -> Option<String>) -> Value {
    match value {
        Value::String(text) => Value::String(filled_in(text, variables)),
        Value::Array(list) => list.iter().map(|value| interpolated(value, variables)).collect(),
        Value::Object(map) => {
            map.iter().map(|(name, value)| (name.clone(), interpolated(value, variables))).collect()
        }
        other => other.clone(),
    }
}

fn filled_in(text: &str, variables: &dyn Fn(&str) -> Option<String>) -> String {
    let mut parts = text.split("$$").map(|part| {
        let mut filled = String::new();
        let mut rest = part;
        while let Some((before, behind)) = rest.split_once("${") {
            let (inside, after) = behind.split_once('}').expect("a variable has an end");
            let (name, why) = inside.split_once(":?").expect("a variable is required, or has no place here");
            let value = variables(name).filter(|value| !value.is_empty());
            filled.push_str(before);
            filled.push_str(&value.unwrap_or_else(|| panic!("{name} is missing: {why}")));
            rest = after;
        }
        filled + rest
    });
    let first = parts.next().unwrap_or_default();
    parts.fold(first, |text, part| text + "$" + &part)
}

#[test]
fn variables_are_filled_in() {
    let given = |name: &str| (name == "A").then(|| "one".to_owned());
    assert_eq!(filled_in("x ${A:?why} y $$(z)", &given), "x one y $(z)");
    assert!(std::panic::catch_unwind(|| filled_in("${B:?it is needed}", &|_| None)).is_err());
}
