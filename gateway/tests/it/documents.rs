//! What is written for those who build on the gateway, held against what it knows.

use std::collections::BTreeSet;

use turnpike_wire::Code;
use turnpike_wire::event::{ClientEvent, SERVER_EVENTS};

const CLIENTS: &str = include_str!("../../../docs/clients.md");

/// The first cells of the table that begins with this head, without their backquotes.
fn first_cells(head: &str) -> Vec<&'static str> {
    let (_, table) = CLIENTS.split_once(head).unwrap_or_else(|| panic!("no table {head:?}"));
    let rows = table.lines().skip(2).take_while(|line| line.starts_with('|'));
    let cells = rows.filter_map(|row| row.split('|').nth(1));
    cells.flat_map(|cell| cell.split(',')).map(|name| name.trim().trim_matches('`')).collect()
}

#[test]
fn the_guide_names_every_event_once() {
    for (head, known) in [
        ("| you send |", ClientEvent::ALL.iter().map(|event| event.name()).collect::<BTreeSet<_>>()),
        ("| you get |", SERVER_EVENTS.iter().copied().collect()),
    ] {
        let named = first_cells(head);
        assert_eq!(named.iter().copied().collect::<BTreeSet<_>>(), known, "{head}");
        assert_eq!(named.len(), known.len(), "one stands twice under {head}");
    }
}

#[test]
fn the_guide_names_every_code() {
    let (_, table) = CLIENTS.split_once("| code | reason |").expect("a table of codes");
    for code in Code::ALL {
        let row = format!("| {} | {} |", code.number(), code.slug());
        assert_eq!(table.matches(&row).count(), 1, "{row}");
    }
    let rows = table.lines().skip(2).take_while(|line| line.starts_with('|')).count();
    assert_eq!(rows, Code::ALL.len());
}
