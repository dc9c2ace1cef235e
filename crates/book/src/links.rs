//! Links of a site that lead nowhere: looked for in what a browser would be given.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::pages::resolved;

struct Seen {
    anchors: BTreeSet<String>,
    targets: Vec<String>,
}

/// Each with the page that it stands on. Other sites are not asked.
pub fn broken(site: &Path) -> anyhow::Result<Vec<String>> {
    let mut pages = BTreeMap::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(site.join(&folder))? {
            let entry = entry?;
            let path = folder.join(entry.file_name());
            if entry.file_type()?.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "html") {
                let html = std::fs::read_to_string(site.join(&path))?;
                pages.insert(path, Seen { anchors: values(&html, " id=\""), targets: targets(&html) });
            }
        }
    }
    let mut found = Vec::new();
    for (page, seen) in &pages {
        // It is shown for every path there is not, so its links are those of the root.
        if page == Path::new("404.html") {
            continue;
        }
        for target in &seen.targets {
            let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
            let path = if file.is_empty() { page.clone() } else { resolved(page, file) };
            let holds = match pages.get(&path) {
                Some(there) => anchor.is_empty() || there.anchors.contains(anchor),
                None => site.join(&path).is_file(),
            };
            if !holds {
                found.push(format!("{}: {target}", page.display()));
            }
        }
    }
    found.sort();
    found.dedup();
    Ok(found)
}

fn targets(html: &str) -> Vec<String> {
    let all = values(html, " href=\"").into_iter().chain(values(html, " src=\""));
    all.filter(|target| !target.contains(':') && !target.starts_with("//")).collect()
}

fn values(html: &str, name: &str) -> BTreeSet<String> {
    html.split(name)
        .skip(1)
        .filter_map(|rest| rest.split('"').next())
        .map(|value| value.replace("&amp;", "&"))
        .collect()
}
