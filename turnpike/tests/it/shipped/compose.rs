//! The compose file: everything it names is there, and no secret stands in it.

use serde_json::Value;

use super::product::Product;
use super::units::{drain_window, leaving_seconds};
use super::{deploy, yaml};

fn compose() -> Value {
    yaml(&deploy().join("compose/compose.yaml")).remove(0)
}

fn services(file: &Value) -> impl Iterator<Item = (&String, &Value)> {
    file["services"].as_object().unwrap().iter()
}

fn words(value: &Value) -> Vec<&str> {
    value.as_array().map(|list| list.iter().filter_map(Value::as_str).collect()).unwrap_or_default()
}

fn ours(service: &Value) -> bool {
    service["image"].as_str().unwrap().starts_with("turnpike:")
}

#[test]
fn it_is_the_whole_system() {
    let file = compose();
    let names: Vec<&str> = services(&file).map(|(name, _)| name.as_str()).collect();
    for (kind, count) in [
        ("redis-", 7),
        ("gateway-", 2),
        ("relay-", 2),
        ("router-", 2),
        ("nginx", 1),
        ("prometheus", 1),
        ("grafana", 1),
    ] {
        assert_eq!(names.iter().filter(|name| name.starts_with(kind)).count(), count, "{kind}: {names:?}");
    }
}

#[test]
fn what_it_tells_our_processes_is_known() {
    let (product, file) = (Product::new(), compose());
    for (name, service) in services(&file).filter(|(_, service)| ours(service)) {
        let told: Vec<(String, String)> = service["environment"]
            .as_object()
            .unwrap()
            .iter()
            .map(|(key, value)| {
                (key.clone(), value.as_str().unwrap_or_else(|| panic!("{name} {key}: in quotes")).to_owned())
            })
            .collect();
        product.must_know(&told, name);
        let command = words(&service["command"]);
        product.must_have_command(command[0], name);
        assert!(name.starts_with(command[0]), "{name} is a {}", command[0]);
        let config = command[2].rsplit('/').next().unwrap();
        let grace =
            service["stop_grace_period"].as_str().unwrap().trim_end_matches('s').parse::<u64>().unwrap();
        assert!(grace >= leaving_seconds(drain_window(config)), "{name} is killed before it has left");
    }
}

#[test]
fn no_secret_stands_in_it_and_nothing_has_a_default_one() {
    let (product, file) = (Product::new(), compose());
    let is_secret =
        |name: &str| ["SECRET", "PASSWORD", "TOKEN", "_KEY"].iter().any(|word| name.contains(word));
    for (name, service) in services(&file) {
        for (key, value) in service["environment"].as_object().into_iter().flatten() {
            let value = value.as_str().unwrap();
            if is_secret(key) && value != "true" {
                let from_file =
                    value.strip_prefix("file:").unwrap_or(if key.ends_with("_FILE") { value } else { "" });
                let secret = from_file
                    .strip_prefix("/run/secrets/")
                    .unwrap_or_else(|| panic!("{name} {key} is no file"));
                assert!(words(&service["secrets"]).contains(&secret), "{name} is not given {secret}");
            }
            assert!(!value.contains(":-"), "{name} {key} has a default");
        }
        for secret in words(&service["secrets"]) {
            assert!(
                file["secrets"][secret]["file"].as_str().is_some_and(|path| path.starts_with("secrets/")),
                "{secret}"
            );
        }
        assert!(
            !service["image"].as_str().unwrap().ends_with(":latest")
                && service["image"].as_str().unwrap().contains(':')
        );
        assert_eq!(service["read_only"], true, "{name}");
        assert_eq!(words(&service["cap_drop"]), ["ALL"], "{name}");
        assert_eq!(words(&service["security_opt"]), ["no-new-privileges:true"], "{name}");
    }
    let _ = product;
}

#[test]
fn what_it_mounts_waits_for_and_joins_is_there() {
    let file = compose();
    for (name, service) in services(&file) {
        for volume in words(&service["volumes"]) {
            let source = volume.split(':').next().unwrap();
            let there = if source.starts_with("./secrets") {
                // Made by make-secrets.
                true
            } else if source.starts_with('.') {
                deploy().join("compose").join(source).exists()
            } else {
                file["volumes"].as_object().unwrap().contains_key(source)
            };
            assert!(there, "{name}: {source} is not there");
        }
        let after =
            service["depends_on"].as_object().into_iter().flat_map(|map| map.keys().map(String::as_str));
        for other in after.chain(words(&service["depends_on"])) {
            assert!(file["services"][other].is_object(), "{name} waits for {other}");
        }
        for (network, place) in service["networks"].as_object().unwrap() {
            let subnet = file["networks"][network]["ipam"]["config"][0]["subnet"].as_str().unwrap();
            let prefix = subnet.strip_suffix("0/24").unwrap();
            assert!(place["ipv4_address"].as_str().unwrap().starts_with(prefix), "{name} in {network}");
        }
    }
    let mut addresses: Vec<String> = services(&file)
        .flat_map(|(_, service)| service["networks"].as_object().unwrap().values())
        .map(|place| place["ipv4_address"].as_str().unwrap().to_owned())
        .collect();
    let count = addresses.len();
    addresses.sort();
    addresses.dedup();
    assert_eq!(addresses.len(), count, "two services have one address");
    // Redis has no way out, and nothing that users reach is on its network.
    assert_eq!(file["networks"]["data"]["internal"], true);
    for public in ["nginx", "prometheus", "grafana"] {
        assert!(file["services"][public]["networks"]["data"].is_null(), "{public}");
    }
}

#[test]
fn routers_and_nginx_are_believed_by_their_addresses() {
    let file = compose();
    let address = |service: &str, network: &str| {
        file["services"][service]["networks"][network]["ipv4_address"].as_str().unwrap().to_owned()
    };
    let routers = format!("{},{}", address("router-1", "data"), address("router-2", "data"));
    for node in ["gateway-1", "gateway-2", "relay-1", "relay-2"] {
        assert_eq!(file["services"][node]["environment"]["TURNPIKE_TRUSTED_PROXIES"], routers.as_str());
    }
    assert_eq!(
        file["services"]["router-1"]["environment"]["TURNPIKE_TRUSTED_PROXIES"],
        address("nginx", "edge").as_str()
    );
}
