//! What the pages cost whoever opens them: bytes, requests and time until something is seen, in a real browser that knows nothing
//! of them; and what would keep somebody from reading them. docs/pages.md has the figures.
//!
//! `UPDATE_DOCS=1 cargo nextest run -p turnpike-tests pages` writes them anew.

use std::fmt::Write as _;
use std::path::Path;

use serde_json::{Value, json};
use turnpike_lab::Directory;

use crate::harness::home;
use crate::harness::script::seen;
use crate::harness::turnpike::Turnpike;

/// With the heads of all answers.
const BYTES_MAX: u64 = 100_000;
/// As often as it takes until one load was quick enough: a busy machine is no fault of the page's.
const LOADS_MIN: usize = 5;
const LOADS_MAX: usize = 20;

/// Of the best load, in any build: what the node does for it is to answer some ten files of a few kilobytes. The book's pages are
/// long, and wait for the style sheets and the contents that mdBook gives them.
fn paint_ms_max(page: &str) -> u64 {
    match page {
        "book" => 400,
        _ => 200,
    }
}

/// Browsers' own ratings begin to call it bad at 0.1. In the book it is the list of a page's headings, which a script of mdBook's adds
/// to the contents.
fn layout_shift_max(page: &str) -> f64 {
    match page {
        "book" => 0.05,
        _ => 0.01,
    }
}

/// So far the document may be from what is measured: it is about what is sent, which differs by a few bytes in dates and ports.
const DOCUMENTED_WITHIN_PERMILLE: u64 = 50;

const DOCUMENT: &str = "docs/pages.md";
const BEGIN: &str = "<!-- Measured: UPDATE_DOCS=1 cargo nextest run -p turnpike-tests pages -->\n";
const END: &str = "<!-- end -->";

#[test]
fn alone_the_pages_are_light_quick_and_for_everybody() {
    let home = home();
    let root = home.parent().unwrap();
    let directory = Directory::new("pages").unwrap();
    let site = directory.path().join("site");
    turnpike_book::build(root, &directory.path().join("stage"), &site).unwrap();
    let turnpike = Turnpike::start(&[]);
    let pages = json!([
        { "name": "demo", "url": format!("http://{}/", turnpike.server.address), "enough_ms": paint_ms_max("demo") },
        { "name": "dashboard", "url": format!("http://{}/dashboard", turnpike.admin), "enough_ms": paint_ms_max("dashboard") },
        { "name": "book", "folder": site.to_str().unwrap(), "enough_ms": paint_ms_max("book") },
    ]);
    let mut options =
        vec![("pages", pages.to_string()), ("least", LOADS_MIN.to_string()), ("most", LOADS_MAX.to_string())];
    // Where somebody wants to look at them.
    if let Ok(folder) = std::env::var("TURNPIKE_PICTURES") {
        options.push(("pictures", folder));
    }
    let told = seen("pages.mjs", &options);
    let names: Vec<_> = told.iter().map(|line| line["page"].as_str().unwrap()).collect();
    assert_eq!(names, ["demo", "dashboard", "book"]);
    println!("{}", table(&told));
    for line in &told {
        assert!(line["bytes"].as_u64().unwrap() <= BYTES_MAX, "{line:#}");
        for nothing in ["third_parties", "errors", "faults"] {
            assert_eq!(line[nothing], json!([]), "{nothing}: {line:#}");
        }
        let page = line["page"].as_str().unwrap();
        assert!(line["layout_shift"].as_f64().unwrap() <= layout_shift_max(page), "{line:#}");
        assert!(best_paint_ms(line) <= paint_ms_max(page), "{line:#}");
    }
    if std::env::var_os("UPDATE_DOCS").is_some() {
        write(root, &told);
    }
    documented(root, &told);
}

fn best_paint_ms(line: &Value) -> u64 {
    let paints = line["paints_ms"].as_array().unwrap().iter();
    paints.map(|paint| paint.as_u64().expect("something was painted")).min().expect("it was loaded")
}

fn shown(name: &str) -> &'static str {
    match name {
        "demo" => "the demo, `/`",
        "dashboard" => "the dashboard, `/dashboard`",
        "book" => "this site's front page",
        other => panic!("no page is called {other}"),
    }
}

fn table(told: &[Value]) -> String {
    let mut table = String::from(
        "| page | bytes | requests | first paint, best and median | layout shift | before the first paint |\n\
         | --- | --- | --- | --- | --- | --- |\n",
    );
    for line in told {
        let mut paints: Vec<u64> =
            line["paints_ms"].as_array().unwrap().iter().filter_map(Value::as_u64).collect();
        paints.sort_unstable();
        writeln!(
            table,
            "| {} | {} | {} | {} ms, {} ms | {:.3} | {} files |",
            shown(line["page"].as_str().unwrap()),
            line["bytes"],
            line["requests"],
            best_paint_ms(line),
            paints[paints.len() / 2],
            line["layout_shift"].as_f64().unwrap(),
            line["blocking"].as_array().unwrap().len(),
        )
        .unwrap();
    }
    table
}

fn write(root: &Path, told: &[Value]) {
    let path = root.join(DOCUMENT);
    let document = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = document.split_once(BEGIN).expect("the document has a place for the table");
    let (_, after) = rest.split_once(END).expect("and an end of it");
    std::fs::write(&path, format!("{before}{BEGIN}\n{}\n{END}{after}", table(told))).unwrap();
}

/// What the document says of weight and requests is what was measured. Times are of the machine that it names.
fn documented(root: &Path, told: &[Value]) {
    let document = std::fs::read_to_string(root.join(DOCUMENT)).unwrap();
    for line in told {
        let name = shown(line["page"].as_str().unwrap());
        let row = document.lines().find(|row| row.starts_with(&format!("| {name} |")));
        let cells: Vec<&str> = row
            .unwrap_or_else(|| panic!("{DOCUMENT} has no row for {name}"))
            .split('|')
            .map(str::trim)
            .collect();
        let said: u64 = cells[2].parse().unwrap();
        let bytes = line["bytes"].as_u64().unwrap();
        assert!(
            said.abs_diff(bytes) * 1_000 <= said * DOCUMENTED_WITHIN_PERMILLE,
            "{DOCUMENT} says {said} bytes of {name}, and it is {bytes}: UPDATE_DOCS=1 writes it anew"
        );
        assert_eq!(
            cells[3],
            line["requests"].to_string(),
            "requests of {name}: UPDATE_DOCS=1 writes them anew"
        );
    }
}
