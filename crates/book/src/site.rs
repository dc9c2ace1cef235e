//! The pages made into a site.
//!
//! They are laid out as in the repository, so that a link means the same in both; files that are linked to come along.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use mdbook_driver::MDBook;
use mdbook_driver::config::Config;

use crate::finish::finish;
use crate::pages::{SUMMARY, pages, read, resolved, targets};

const CONFIG: &str = include_str!("../theme/book.toml");
const THEME: [(&str, &[u8]); 5] = [
    ("theme/turnpike.css", include_bytes!("../theme/turnpike.css")),
    ("theme/sidebar.js", include_bytes!("../theme/sidebar.js")),
    // In place of mdBook's own, which are most of a page's weight.
    ("theme/highlight.js", include_bytes!("../theme/highlight.js")),
    ("theme/fonts/fonts.css", include_bytes!("../theme/fonts.css")),
    ("theme/favicon.svg", include_bytes!("../../../web/icon.svg")),
];

/// Makes the site of the repository at `root` in `site`, by way of `stage`: both are folders of their own, and are
/// emptied. Links that lead nowhere are an error.
pub fn build(root: &Path, stage: &Path, site: &Path) -> anyhow::Result<()> {
    for folder in [stage, site] {
        if folder.exists() {
            std::fs::remove_dir_all(folder)?;
        }
        std::fs::create_dir_all(folder)?;
    }
    let source = stage.join("src");
    let pages = pages(root)?;
    let summary = rewritten(Path::new(SUMMARY), Path::new("SUMMARY.md"), &read(root, Path::new(SUMMARY))?);
    write(&source.join("SUMMARY.md"), summary.as_bytes())?;
    let mut faults = Vec::new();
    for page in &pages {
        for (_, target) in targets(&page.text) {
            let Some(path) = local(&page.path, target) else { continue };
            let is_page = path == Path::new(SUMMARY) || pages.iter().any(|page| page.path == path);
            if !is_page
                && root.join(&path).is_file()
                && path.extension().is_none_or(|extension| extension != "md")
            {
                write(&source.join(&path), &std::fs::read(root.join(&path))?)?;
            } else if !is_page {
                faults.push(format!("{}: {target} is no page of the site", page.path.display()));
            }
        }
        let renamed = index(&page.path);
        write(&source.join(&renamed), rewritten(&page.path, &renamed, &page.text).as_bytes())?;
    }
    for (name, bytes) in THEME {
        write(&stage.join(name), bytes)?;
    }
    if !faults.is_empty() {
        bail!("links that lead nowhere:\n{}", faults.join("\n"));
    }
    let mut config: Config = CONFIG.parse()?;
    config.build.build_dir = std::path::absolute(site)?;
    MDBook::load_with_config(stage, config)?.build()?;
    finish(site)
}

/// Where a link leads within the repository.
fn local(page: &Path, target: &str) -> Option<PathBuf> {
    let (file, _) = target.split_once('#').unwrap_or((target, ""));
    (!file.is_empty() && !file.contains("://") && !file.starts_with("mailto:")).then(|| resolved(page, file))
}

/// What is shown for a folder is called `index` on a site. The summary is beside every page there.
fn index(path: &Path) -> PathBuf {
    if path == Path::new(SUMMARY) {
        PathBuf::from("index.md")
    } else if path.file_name().is_some_and(|name| name == "README.md") {
        path.with_file_name("index.md")
    } else {
        path.to_owned()
    }
}

/// The text of `page` with its links as they are seen from `place`.
fn rewritten(page: &Path, place: &Path, text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut written = 0;
    for (range, target) in targets(text) {
        let Some(path) = local(page, target) else { continue };
        let anchor = target.find('#').map_or("", |at| &target[at..]);
        let up = place.components().count() - 1;
        out.push_str(&text[written..range.start]);
        out.push_str(&"../".repeat(up));
        out.push_str(&index(&path).to_string_lossy());
        out.push_str(anchor);
        written = range.end;
    }
    out.push_str(&text[written..]);
    out
}

fn write(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::write(path, bytes).with_context(|| format!("{} cannot be written", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_those_of_the_place() {
        let seen = |page: &str, place: &str, text: &str| rewritten(Path::new(page), Path::new(place), text);
        assert_eq!(seen("docs/SUMMARY.md", "SUMMARY.md", "[a](../README.md)"), "[a](index.md)");
        assert_eq!(seen("docs/SUMMARY.md", "SUMMARY.md", "- [b](b.md)"), "- [b](docs/b.md)");
        assert_eq!(seen("docs/b.md", "docs/b.md", "[n](../nginx/README.md#x)!"), "[n](../nginx/index.md#x)!");
        for outside in ["[u](https://example.com/a.md)", "[h](#here)"] {
            assert_eq!(seen("docs/b.md", "docs/b.md", outside), outside);
        }
    }
}
