use std::fmt::Write as _;

use super::house::Node;

const BEGIN: &str = "<!-- begin of the table of links -->\n";
const END: &str = "<!-- end of the table of links -->";

#[tokio::test]
async fn the_document_names_them_all() {
    let node = Node::start(1);
    let mut table = String::from("| metric | type | labels | what it says |\n| --- | --- | --- | --- |\n");
    for family in node.registry.gather() {
        let (name, kind) = (family.name(), format!("{:?}", family.get_field_type()).to_lowercase());
        let labels = family.get_metric()[0].get_label();
        let labels: Vec<String> = labels.iter().map(|label| format!("`{}`", label.name())).collect();
        assert_eq!(kind == "counter", name.ends_with("_total"), "{name}");
        let _ = writeln!(table, "| `{name}` | {kind} | {} | {} |", labels.join(", "), family.help());
    }
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/metrics.md");
    let document = std::fs::read_to_string(path).unwrap();
    let (before, rest) = document.split_once(BEGIN).expect("the document has a place for the table");
    let (_, after) = rest.split_once(END).expect("the table has an end");
    let expected = format!("{before}{BEGIN}\n{table}\n{END}{after}");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(path, expected).unwrap();
    } else {
        assert!(document == expected, "run UPDATE_DOCS=1 cargo test -p turnpike-media-relay --lib metrics");
    }
}
