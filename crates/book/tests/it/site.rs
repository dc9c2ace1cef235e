//! It can be made, every page is in it, and no link leads nowhere.

use std::path::{Path, PathBuf};

use turnpike_lab::Directory;

pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap().to_owned()
}

#[test]
fn every_page_is_on_the_site_and_every_link_leads_somewhere() {
    assert_eq!(turnpike_book::unlisted(&root()).unwrap(), Vec::<PathBuf>::new(), "not in docs/SUMMARY.md");
    let directory = Directory::new("book").unwrap();
    let site = directory.path().join("site");
    turnpike_book::build(&root(), &directory.path().join("stage"), &site).unwrap();
    assert_eq!(turnpike_book::broken(&site).unwrap(), Vec::<String>::new());
    for page in turnpike_book::pages(&root()).unwrap() {
        let file = page.path.with_extension("html");
        let file = PathBuf::from(file.to_str().unwrap().replace("README", "index"));
        assert!(site.join(&file).is_file(), "{}", file.display());
    }
}

#[test]
fn a_link_that_leads_nowhere_is_found() {
    let directory = Directory::new("book-links").unwrap();
    let write = |name: &str, html: &str| std::fs::write(directory.path().join(name), html).unwrap();
    write(
        "a.html",
        r##"<h1 id="top"></h1><a href="b.html#there"></a><a href="#top"></a><a href="https://x/"></a>"##,
    );
    write("b.html", r#"<h1 id="there"></h1><a href="c.html"></a><a href="a.html#gone"></a>"#);
    assert_eq!(turnpike_book::broken(directory.path()).unwrap(), ["b.html: a.html#gone", "b.html: c.html"]);
}
