//! Fuzz targets: bytes by chance in real descriptions and fragments. Lines and words are changed in [`crate::hostile`].
//!
//! Their corpus stands in `corpus/<target>/`.

use std::cell::LazyCell;

use turnpike_fuzz::fuzz;
use turnpike_sdp::{Fragment, Offer, limits};

use crate::hostile::{read_by_all, there};
use crate::offers::{chance, local};

#[test]
fn descriptions_hold() {
    fuzz!("description", description);
}

#[test]
fn fragments_hold() {
    fuzz!("fragment", fragment);
}

#[test]
fn the_fragments_of_the_corpus_are_understood() {
    for (text, candidates) in [
        (include_str!("../../corpus/fragment/trickle"), 2),
        (include_str!("../../corpus/fragment/restart"), 2),
    ] {
        assert_eq!(Fragment::parse(text).unwrap().candidates().count(), candidates);
    }
}

/// The text of a description.
fn description(data: &[u8]) {
    thread_local! {
        static OFFER: LazyCell<Offer> = LazyCell::new(|| Offer::new(&local(), &there(), &mut chance()));
    }
    OFFER.with(|offer| read_by_all(&String::from_utf8_lossy(data), offer));
}

/// The text of a fragment.
fn fragment(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let Ok(read) = Fragment::parse(&text) else { return };
    assert!(read.candidates().count() <= limits::CANDIDATES_MAX);
    assert!(read.sections.len() <= limits::SECTIONS_MAX);
    let written = read.to_string();
    let again = Fragment::parse(&written).expect("we read what we write");
    assert_eq!(again, read, "{written}");
}
