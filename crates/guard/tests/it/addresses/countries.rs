//! Databases of countries: ours, and what is none.

use turnpike_guard::address::{Countries, Country, CountryDatabase};
use turnpike_lab::country_file;

use super::ip;

pub(crate) fn database() -> CountryDatabase {
    CountryDatabase::parse(country_file(&[
        ("203.0.113.0/24", "DE"),
        ("198.51.100.0/25", "FR"),
        ("198.51.100.128/25", "US"),
        ("2001:db8::/32", "JP"),
    ]))
    .unwrap()
}

#[test]
fn an_address_has_the_country_of_its_network() {
    let database = database();
    for (address, country) in [
        ("203.0.113.0", Some("DE")),
        ("203.0.113.255", Some("DE")),
        ("::ffff:203.0.113.7", Some("DE")),
        ("203.0.114.0", None),
        ("198.51.100.127", Some("FR")),
        ("198.51.100.128", Some("US")),
        ("2001:db8:1::1", Some("JP")),
        ("2001:db9::1", None),
        ("127.0.0.1", None),
        ("::1", None),
    ] {
        let found = database.country(ip(address)).map(|country| country.to_string());
        assert_eq!(found.as_deref(), country, "{address}");
    }
    assert_eq!(database.kind(), "Turnpike-Test-Country");
    assert_eq!(database.built_at(), 1_700_000_000);
}

#[test]
fn a_code_is_two_letters() {
    assert_eq!("de".parse::<Country>().unwrap().to_string(), "DE");
    assert_eq!(" FR ".parse::<Country>().unwrap().to_string(), "FR");
    for other in ["", "D", "DEU", "D1", "ÄÖ", "--"] {
        assert!(other.parse::<Country>().is_err(), "{other}");
    }
}

#[test]
fn what_is_no_database_is_refused() {
    let file = country_file(&[("203.0.113.0/24", "DE")]);
    assert!(CountryDatabase::parse(Vec::new()).is_err());
    assert!(CountryDatabase::parse(b"not a database".to_vec()).is_err());
    assert!(CountryDatabase::parse(file[..file.len() / 2].to_vec()).is_err());
    // Of a file that was not written to its end, the beginning is missing nothing.
    assert!(CountryDatabase::parse(file[file.len() / 2..].to_vec()).is_err());
}

#[test]
fn another_database_takes_the_place_of_one() {
    let countries = Countries::default();
    assert!(!countries.is_known() && countries.country(ip("203.0.113.1")).is_none());
    let shared = countries.clone();
    countries.replace(database());
    assert_eq!(shared.country(ip("203.0.113.1")).unwrap().to_string(), "DE");
    countries.replace(CountryDatabase::parse(country_file(&[("203.0.113.0/24", "AT")])).unwrap());
    assert_eq!(shared.country(ip("203.0.113.1")).unwrap().to_string(), "AT");
}
