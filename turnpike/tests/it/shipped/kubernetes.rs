//! The manifests: what they select, mount, open and ask for is there, in themselves and in the product.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::product::Product;
use super::units::{assignments, leaving_seconds};
use super::{deploy, text, yaml};

const FOLDERS: [&str; 3] = ["base", "redis", "overlays/production"];

fn folder(name: &str) -> PathBuf {
    deploy().join("kubernetes").join(name)
}

fn kustomization(name: &str) -> Value {
    yaml(&folder(name).join("kustomization.yaml")).remove(0)
}

fn words(value: &Value) -> Vec<&str> {
    value.as_array().map(|list| list.iter().filter_map(Value::as_str).collect()).unwrap_or_default()
}

/// All of a folder's own.
fn resources_of(name: &str) -> Vec<Value> {
    let resources = kustomization(name);
    let files = words(&resources["resources"])
        .into_iter()
        .filter(|file| !file.starts_with(".."))
        .map(ToOwned::to_owned);
    files.flat_map(|file| yaml(&folder(name).join(file))).collect()
}

fn all() -> Vec<Value> {
    FOLDERS.into_iter().flat_map(resources_of).collect()
}

fn name(resource: &Value) -> &str {
    resource["metadata"]["name"].as_str().unwrap()
}

fn is(resource: &Value, kind: &str) -> bool {
    resource["kind"] == kind
}

/// What runs: its name, and the template of its pods.
fn pods(all: &[Value]) -> BTreeMap<&str, &Value> {
    let run = all.iter().filter(|one| ["Deployment", "StatefulSet", "Job"].iter().any(|kind| is(one, kind)));
    run.map(|one| (name(one), &one["spec"]["template"])).collect()
}

fn container(pod: &Value) -> &Value {
    &pod["spec"]["containers"][0]
}

fn is_ours(pod: &Value) -> bool {
    container(pod)["image"] == "turnpike"
}

/// From the file that is its config map, and what it is told beside it. What only the cluster knows is filled in.
fn environment(pod: &Value) -> Vec<(String, String)> {
    let map = container(pod)["envFrom"][0]["configMapRef"]["name"].as_str().unwrap();
    let mut told = assignments(&text(&folder("base").join(format!("{map}.env"))));
    for one in container(pod)["env"].as_array().into_iter().flatten() {
        let field = one["valueFrom"]["fieldRef"]["fieldPath"].as_str();
        let value = match field {
            Some("metadata.name") => "gateway-0",
            Some("status.podIP" | "status.hostIP") => "10.1.2.3",
            Some(other) => panic!("{other} is no field of a pod"),
            None => one["value"].as_str().unwrap(),
        };
        told.push((one["name"].as_str().unwrap().to_owned(), value.replace("$(POD_IP)", "10.1.2.3")));
    }
    told.retain(|(name, _)| name != "POD_IP");
    told
}

#[test]
fn files_that_are_put_together_are_there() {
    for name in FOLDERS {
        let file = kustomization(name);
        for resource in words(&file["resources"]) {
            assert!(folder(name).join(resource).exists(), "{name}: {resource}");
        }
        for generator in file["configMapGenerator"].as_array().into_iter().flatten() {
            for source in words(&generator["envs"]).into_iter().chain(words(&generator["files"])) {
                assert!(folder(name).join(source).is_file(), "{name}: {source}");
            }
        }
        for patch in file["patches"].as_array().into_iter().flatten() {
            assert!(folder(name).join(patch["path"].as_str().unwrap()).is_file());
        }
    }
}

/// By Kustomize itself, where it is.
#[test]
fn kustomize_puts_them_together() {
    if !Path::new("/usr/bin/kubectl").exists() {
        return;
    }
    let mut kubectl = Command::new("kubectl");
    kubectl
        .args(["kustomize", "--load-restrictor", "LoadRestrictionsNone"])
        .arg(folder("overlays/production"));
    let output = kubectl.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let made: Vec<Value> = serde_saphyr::from_multiple(&String::from_utf8(output.stdout).unwrap()).unwrap();
    assert!(made.len() > all().len(), "the config maps come on top");
    let gateway = made.iter().find(|one| is(one, "StatefulSet") && name(one) == "gateway").unwrap();
    assert!(container(&gateway["spec"]["template"])["image"].as_str().unwrap().ends_with("/turnpike:0.1.0"));
}

#[test]
fn our_processes_take_what_they_are_told() {
    let product = Product::new();
    let all = all();
    let overlay = kustomization("overlays/production");
    for generator in overlay["configMapGenerator"].as_array().unwrap() {
        let literals = words(&generator["literals"]).join("\n");
        product.must_know(&assignments(&literals), "the overlay");
    }
    for (name, pod) in pods(&all).into_iter().filter(|(_, pod)| is_ours(pod)) {
        let role = words(&container(pod)["args"])[0];
        assert_eq!(role, name);
        product.must_have_command(role, name);
        let mut told = environment(pod);
        if role == "router" {
            product.must_know(&told, name);
        } else {
            told.push(("CORS_ORIGIN".into(), "https://app.shop.test".into()));
            product.must_take(&told, name);
        }
    }
}

#[test]
fn ports_are_those_of_the_processes() {
    let (product, all) = (Product::new(), all());
    for (name, pod) in pods(&all).into_iter().filter(|(_, pod)| is_ours(pod)) {
        let told: BTreeMap<String, String> = environment(pod).into_iter().collect();
        let at = |key: &str, path: &str| {
            told.get(key).map_or_else(|| product.port(path), |port| port.parse().unwrap())
        };
        let mut expected = BTreeSet::from([at("ADMIN_PORT", "admin.port")]);
        expected.insert(if name == "router" {
            at("TURNPIKE_ROUTER_PORT", "router.port")
        } else {
            at("PORT", "gateway.port")
        });
        if name == "relay" {
            let first = at("MEDIA_PORT", "media.port");
            expected.extend(first..first + told["TURNPIKE_MEDIA_SHARDS"].parse::<u64>().unwrap());
            expected.insert(at("TURNPIKE_LINK_PORT", "links.port"));
        }
        let ports = container(pod)["ports"].as_array().unwrap();
        let open: BTreeSet<u64> = ports.iter().map(|port| port["containerPort"].as_u64().unwrap()).collect();
        assert_eq!(open, expected, "{name}");
        for port in ports.iter().filter(|port| port["hostPort"].is_u64()) {
            assert_eq!(port["hostPort"], port["containerPort"], "clients are told the port of the process");
        }
        for (probe, path) in
            [("startupProbe", "/live"), ("readinessProbe", "/ready"), ("livenessProbe", "/live")]
        {
            assert_eq!(container(pod)[probe]["httpGet"]["path"], path, "{name} {probe}");
            assert_eq!(container(pod)[probe]["httpGet"]["port"], "admin", "{name} {probe}");
        }
        let pause = container(pod)["lifecycle"]["preStop"]["sleep"]["seconds"].as_u64().unwrap();
        let window = told["TURNPIKE_DRAIN_WINDOW"].trim_end_matches('s').parse::<u64>().unwrap();
        let grace = pod["spec"]["terminationGracePeriodSeconds"].as_u64().unwrap();
        assert!(grace >= pause + leaving_seconds(window), "{name} is killed before it has left");
    }
}

fn labels_fit(selector: &Value, pod: &Value) -> bool {
    let labels = &pod["metadata"]["labels"];
    let equal = selector["matchLabels"]
        .as_object()
        .or_else(|| selector.as_object().filter(|map| !map.contains_key("matchExpressions")));
    let equal = equal.is_none_or(|map| map.iter().all(|(key, value)| &labels[key] == value));
    let among = selector["matchExpressions"].as_array().into_iter().flatten().all(|one| {
        one["operator"] == "In"
            && words(&one["values"]).iter().any(|value| labels[one["key"].as_str().unwrap()] == *value)
    });
    equal && among
}

#[test]
fn what_is_selected_is_there() {
    let (product, all) = (Product::new(), all());
    let pods = pods(&all);
    let selects = |selector: &Value| pods.values().any(|pod| labels_fit(selector, pod));
    for one in &all {
        let shown = format!("{} {}", one["kind"], name(one));
        let spec = &one["spec"];
        match one["kind"].as_str().unwrap() {
            "Service" => {
                let pod = pods
                    .values()
                    .find(|pod| labels_fit(&spec["selector"], pod))
                    .unwrap_or_else(|| panic!("{shown}"));
                for port in spec["ports"].as_array().unwrap() {
                    let target =
                        if port["targetPort"].is_null() { &port["name"] } else { &port["targetPort"] };
                    let open = container(pod)["ports"].as_array().unwrap();
                    assert!(open.iter().any(|open| &open["name"] == target), "{shown}: {target}");
                }
            }
            "StatefulSet" | "Deployment" | "PodDisruptionBudget" => {
                assert!(selects(&spec["selector"]), "{shown}");
                if let Some(service) = spec["serviceName"].as_str() {
                    assert!(
                        all.iter().any(|one| is(one, "Service") && name(one) == service),
                        "{shown}: {service}"
                    );
                }
            }
            "HorizontalPodAutoscaler" => {
                let target = spec["scaleTargetRef"]["name"].as_str().unwrap();
                assert!(pods.contains_key(target), "{shown}");
                let metric = spec["metrics"][0]["pods"]["metric"]["name"].as_str().unwrap();
                assert!(product.metrics.contains(metric), "{shown}: {metric}");
            }
            "NetworkPolicy" => {
                assert!(
                    spec["podSelector"].as_object().unwrap().is_empty() || selects(&spec["podSelector"]),
                    "{shown}"
                );
            }
            "Ingress" => {
                let backend = &spec["rules"][0]["http"]["paths"][0]["backend"]["service"];
                assert!(all.iter().any(|one| is(one, "Service") && name(one) == backend["name"]), "{shown}");
            }
            "Namespace" | "Job" => {}
            other => panic!("nothing is known of a {other}"),
        }
    }
}

/// Whoever may come in by a policy finds the port open, and every port but those of media and of the bus is behind one.
#[test]
fn policies_are_about_ports_that_are_there() {
    let all = all();
    let pods = pods(&all);
    for policy in all.iter().filter(|one| is(one, "NetworkPolicy")) {
        let chosen: Vec<&&Value> =
            pods.values().filter(|pod| labels_fit(&policy["spec"]["podSelector"], pod)).collect();
        for rule in policy["spec"]["ingress"].as_array().into_iter().flatten() {
            for port in rule["ports"].as_array().unwrap() {
                let open = chosen.iter().any(|pod| {
                    container(pod)["ports"]
                        .as_array()
                        .unwrap()
                        .iter()
                        .any(|open| open["containerPort"] == port["port"])
                });
                assert!(open, "{}: nobody listens at {}", name(policy), port["port"]);
            }
        }
    }
}

#[test]
fn nobody_is_root_and_nothing_secret_is_in_a_file() {
    let all = all();
    for (name, pod) in pods(&all) {
        let (spec, own) = (&pod["spec"]["securityContext"], &container(pod)["securityContext"]);
        assert_eq!(spec["runAsNonRoot"], true, "{name}");
        assert_eq!(spec["seccompProfile"]["type"], "RuntimeDefault", "{name}");
        assert_eq!(pod["spec"]["automountServiceAccountToken"], false, "{name}");
        assert_eq!(own["readOnlyRootFilesystem"], true, "{name}");
        assert_eq!(own["allowPrivilegeEscalation"], false, "{name}");
        assert_eq!(words(&own["capabilities"]["drop"]), ["ALL"], "{name}");
        for volume in
            pod["spec"]["volumes"].as_array().unwrap().iter().filter(|volume| volume["secret"].is_object())
        {
            // In octal, whatever the reader makes of it.
            let mode = volume["secret"]["defaultMode"].to_string();
            assert!(mode.trim_matches('"').ends_with('0'), "{name}: others read it: {mode}");
        }
        if is_ours(pod) {
            let mounted: Vec<String> = pod["spec"]["volumes"][0]["secret"]["items"]
                .as_array()
                .unwrap()
                .iter()
                .map(|item| format!("file:/run/secrets/turnpike/{}", item["path"].as_str().unwrap()))
                .collect();
            for (key, value) in environment(pod) {
                if value.starts_with("file:") {
                    assert!(mounted.contains(&value), "{name}: {key} is not mounted");
                }
            }
        }
    }
    assert!(!all.iter().any(|one| is(one, "Secret")), "secrets are made where they are needed");
}
