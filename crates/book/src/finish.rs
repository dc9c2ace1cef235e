//! What mdBook's pages lack for those who do not see them or do not use a mouse, put in after they were made.

use std::path::Path;

use anyhow::{Context as _, ensure};

/// Where a page has the first, it gets the second. The button of the table of contents is a label that says whether it is expanded,
/// which only a button may say; and no key reaches it.
const MENDED: [(&str, &str); 1] = [(
    r#"<label id="mdbook-sidebar-toggle" "#,
    r#"<label id="mdbook-sidebar-toggle" role="button" tabindex="0" "#,
)];
/// Pages without it are redirections and the table of contents by itself.
const IS_PAGE: &str = r#"id="mdbook-menu-bar""#;

pub(crate) fn finish(folder: &Path) -> anyhow::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            finish(&path)?;
        } else if path.extension().is_some_and(|extension| extension == "html") {
            let html = std::fs::read_to_string(&path)?;
            if html.contains(IS_PAGE) {
                let html = mended(&html).with_context(|| path.display().to_string())?;
                std::fs::write(&path, html)?;
            }
        }
    }
    Ok(())
}

fn mended(html: &str) -> anyhow::Result<String> {
    let mut html = html.to_owned();
    for (from, to) in MENDED {
        ensure!(
            html.matches(from).count() == 1,
            "{from} is not there once: mdBook's pages are made differently now"
        );
        html = html.replacen(from, to, 1);
    }
    Ok(html)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_lacking_is_put_in_and_missed_where_it_cannot_be() {
        let page = r#"<p id="mdbook-menu-bar"></p><label id="mdbook-sidebar-toggle" for="x">"#;
        assert!(mended(page).unwrap().contains(r#"role="button" tabindex="0" for="x""#));
        assert!(mended(r#"<button id="mdbook-sidebar-toggle">"#).is_err());
    }
}
