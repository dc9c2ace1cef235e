//! Which pages there are, in the order of `docs/SUMMARY.md`.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use anyhow::Context as _;

/// Where the order of the pages stands.
pub(crate) const SUMMARY: &str = "docs/SUMMARY.md";

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// From the root of the repository.
    pub path: PathBuf,
    pub text: String,
}

/// All pages of the summary, each once.
pub fn pages(root: &Path) -> anyhow::Result<Vec<Page>> {
    let summary = read(root, Path::new(SUMMARY))?;
    let mut known = BTreeSet::new();
    let mut pages = Vec::new();
    for (_, target) in targets(&summary) {
        let path = resolved(Path::new(SUMMARY), target);
        anyhow::ensure!(known.insert(path.clone()), "{} stands twice in {SUMMARY}", path.display());
        pages.push(Page { text: read(root, &path)?, path });
    }
    Ok(pages)
}

/// Pages in `docs` that no reader would find.
pub fn unlisted(root: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let listed: BTreeSet<PathBuf> = pages(root)?.into_iter().map(|page| page.path).collect();
    let mut folders = vec![PathBuf::from("docs")];
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(root.join(&folder))? {
            let entry = entry?;
            let path = folder.join(entry.file_name());
            if entry.file_type()?.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "md")
                && path != Path::new(SUMMARY)
                && !listed.contains(&path)
            {
                found.push(path);
            }
        }
    }
    Ok(found)
}

pub(crate) fn read(root: &Path, path: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(root.join(path)).with_context(|| format!("{} cannot be read", path.display()))
}

/// Where a link of `page` leads, from the root of the repository.
pub(crate) fn resolved(page: &Path, target: &str) -> PathBuf {
    let mut path = page.parent().unwrap_or(Path::new("")).to_owned();
    for part in Path::new(target).components() {
        match part {
            Component::ParentDir => {
                path.pop();
            }
            Component::CurDir => {}
            other => path.push(other),
        }
    }
    path
}

/// The targets of links in a line of Markdown, with the place of each. Code is not looked at.
pub(crate) fn targets(text: &str) -> Vec<(std::ops::Range<usize>, &str)> {
    let mut found = Vec::new();
    let mut offset = 0;
    let mut fenced = false;
    for line in text.split_inclusive('\n') {
        let start = offset;
        offset += line.len();
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
            continue;
        }
        if fenced {
            continue;
        }
        let mut from = 0;
        while let Some(at) = line[from..].find("](") {
            let begin = from + at + 2;
            let Some(length) = line[begin..].find(')') else { break };
            from = begin + length;
            // Between backticks it is code, but a link's own text may be code.
            if line[..begin].matches('`').count() % 2 == 0 {
                found.push((start + begin..start + from, &line[begin..from]));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_those_of_links() {
        let text = "[a](b.md#c) `[d](e)` [`f`](g)\n```\n[h](i)\n```\n[j](k)";
        let found: Vec<&str> = targets(text).into_iter().map(|(_, target)| target).collect();
        assert_eq!(found, ["b.md#c", "g", "k"]);
        for (range, target) in targets(text) {
            assert_eq!(&text[range], target);
        }
    }

    #[test]
    fn targets_are_resolved_from_their_page() {
        let resolved = |page: &str, target: &str| resolved(Path::new(page), target);
        assert_eq!(resolved("docs/a.md", "../nginx/README.md"), Path::new("nginx/README.md"));
        assert_eq!(resolved("docs/adr/a.md", "../b.md"), Path::new("docs/b.md"));
        assert_eq!(resolved("README.md", "docs/b.md"), Path::new("docs/b.md"));
    }
}
