//! The image: what it is made of is there, what it runs and tells the process is known, and it is nobody's root.

use super::product::Product;
use super::{deploy, root, text};

/// Word and rest of each instruction, continued lines as one.
pub(super) fn instructions(text: &str) -> Vec<(String, String)> {
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim_start().starts_with('#')).collect();
    let whole = lines.join("\n").replace("\\\n", " ");
    let said = whole.lines().filter(|line| !line.trim().is_empty());
    said.map(|line| {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        (word.to_owned(), rest.trim().to_owned())
    })
    .collect()
}

/// Its last stage.
fn final_stage() -> Vec<(String, String)> {
    let all = instructions(&text(&deploy().join("docker/Dockerfile")));
    let from = all.iter().rposition(|(word, _)| word == "FROM").unwrap();
    all[from..].to_vec()
}

fn of<'a>(stage: &'a [(String, String)], word: &str) -> Vec<&'a str> {
    stage.iter().filter(|(found, _)| found == word).map(|(_, rest)| rest.as_str()).collect()
}

#[test]
fn nobody_is_root_and_nothing_is_there_but_the_binary() {
    let stage = final_stage();
    assert!(of(&stage, "FROM")[0].contains("distroless") && !of(&stage, "FROM")[0].contains(":latest"));
    assert_eq!(of(&stage, "USER"), ["65532:65532"]);
    assert!(of(&stage, "RUN").is_empty(), "it has no shell");
    assert_eq!(of(&stage, "STOPSIGNAL"), ["SIGTERM"]);
    let entry: Vec<String> = serde_json::from_str(of(&stage, "ENTRYPOINT")[0]).unwrap();
    assert!(of(&stage, "COPY").iter().any(|copy| copy.ends_with(&entry[0])), "{entry:?}");
}

#[test]
fn what_it_tells_the_process_and_asks_of_it_is_known() {
    let (product, stage) = (Product::new(), final_stage());
    let told: Vec<(String, String)> = of(&stage, "ENV")[0]
        .split(' ')
        .map(|pair| pair.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned())).unwrap())
        .collect();
    product.must_know(&told, "Dockerfile");
    let health = of(&stage, "HEALTHCHECK")[0].split_once("CMD ").unwrap().1;
    let health: Vec<String> = serde_json::from_str(health).unwrap();
    product.must_have_command(&health[1], "Dockerfile");
    let ports: Vec<u64> = of(&stage, "EXPOSE")[0]
        .split(' ')
        .filter(|port| !port.contains('/'))
        .map(|port| port.parse().unwrap())
        .collect();
    assert_eq!(ports, ["gateway.port", "admin.port", "router.port"].map(|key| product.port(key)));
}

#[test]
fn what_it_is_built_from_is_in_the_context() {
    let ignored = text(&root().join(".dockerignore"));
    let ignored: Vec<&str> = ignored.lines().filter(|line| !line.starts_with('#')).collect();
    for member in ["Cargo.toml", "Cargo.lock", "turnpike", "crates", "web", "rust-toolchain.toml"] {
        assert!(root().join(member).exists() && !ignored.contains(&member), "{member}");
    }
    assert!(ignored.contains(&"target") && ignored.contains(&"**/secrets"));
    // The compiler of the image is that of the repository.
    let toolchain = text(&root().join("rust-toolchain.toml"));
    let all = instructions(&text(&deploy().join("docker/Dockerfile")));
    let version = all[0].1.split([':', '-']).nth(1).unwrap();
    assert!(toolchain.contains(&format!("\"{version}")), "{version}: {toolchain}");
}
