//! docs/abuse.md against the code.

use std::fmt::Write as _;
use std::path::Path;

use turnpike_guard::{Signal, Terms};

const BEGIN: &str = "<!-- The table is made from the code: UPDATE_DOCS=1 cargo test -p turnpike-guard -->\n";
const END: &str = "<!-- end of the table -->";

#[test]
fn the_document_has_every_signal() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/abuse.md");
    let text = std::fs::read_to_string(&path).unwrap();
    let mut table = String::from(
        "| signal | for a user | beside a user | alone | leads to | what was seen |\n| --- | --- | --- | --- | --- | --- |\n",
    );
    for signal in Signal::ALL {
        let weight = signal.weight();
        let (user, beside, alone) = (weight.user, weight.beside, weight.alone);
        let (slug, highest, about) = (signal.slug(), weight.highest.slug(), signal.about());
        writeln!(table, "| `{slug}` | {user} | {beside} | {alone} | {highest} | {about} |").unwrap();
    }
    let (before, rest) = text.split_once(BEGIN).expect("the document has the table");
    let (_, after) = rest.split_once(END).expect("the table has an end");
    let expected = format!("{before}{BEGIN}\n{table}\n{END}{after}");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(path, expected).unwrap();
    } else {
        assert!(
            text == expected,
            "docs/abuse.md differs from the code: UPDATE_DOCS=1 cargo test -p turnpike-guard"
        );
    }
    let Terms { mute_at, disconnect_at, ban_at, .. } = Terms::default();
    for (key, score) in [("mute", mute_at), ("disconnect", disconnect_at), ("ban", ban_at)] {
        assert!(text.contains(&format!("| `abuse.{key}_score` ({score}) |")), "{key}");
    }
}
