//! Who may come in at all.

use turnpike_guard::address::{
    AddressRules, Countries, CountryRules, ForwardedBy, Proxies, Refused, Unknown,
};

use super::countries::database;
use super::{ip, networks};

fn countries(allow: &str, deny: &str, unknown: Unknown, countries: Countries) -> CountryRules {
    let codes = |text: &str| text.split_whitespace().map(|code| code.parse().unwrap()).collect();
    CountryRules { allow: codes(allow), deny: codes(deny), unknown, countries }
}

#[test]
fn without_rules_everybody_may() {
    let rules = AddressRules::default();
    for address in ["192.0.2.1", "2001:db8::1", "::1", "0.0.0.0"] {
        assert_eq!(rules.check(ip(address)), Ok(()));
    }
}

#[test]
fn denied_is_stronger_than_exempt_and_that_than_the_rest() {
    let rules = AddressRules {
        deny: networks("10.1.0.0/16 192.0.2.66 2001:db8:bad::/48"),
        exempt: networks("10.0.0.0/8 127.0.0.0/8"),
        allow: networks("192.0.2.0/24 2001:db8::/32"),
        ..AddressRules::default()
    };
    for (address, expected) in [
        ("192.0.2.1", Ok(())),
        ("::ffff:192.0.2.1", Ok(())),
        ("192.0.2.66", Err(Refused::Address)),
        ("::ffff:192.0.2.66", Err(Refused::Address)),
        ("198.51.100.1", Err(Refused::Address)),
        ("10.0.0.1", Ok(())),
        ("127.0.0.1", Ok(())),
        ("10.1.0.1", Err(Refused::Address)),
        ("2001:db8:1::1", Ok(())),
        ("2001:db8:bad::1", Err(Refused::Address)),
        ("2001:db9::1", Err(Refused::Address)),
        ("::1", Err(Refused::Address)),
    ] {
        assert_eq!(rules.check(ip(address)), expected, "{address}");
    }
}

/// Each way to write an address that is denied is denied.
#[test]
fn no_disguise_helps() {
    let rules = AddressRules { deny: networks("8.8.8.0/24"), ..AddressRules::default() };
    for address in [
        "8.8.8.8",
        "::ffff:8.8.8.8",
        "::8.8.8.8",
        "::ffff:0:8.8.8.8",
        "64:ff9b::808:808",
        "2002:808:808::1",
        "2002:808:808:ffff::1",
        "2001:0:1:2:3:4:f7f7:f7f7",
    ] {
        assert_eq!(rules.check(ip(address)), Err(Refused::Address), "{address}");
    }
    assert_eq!(rules.check(ip("2001:db8::808:808")), Ok(()));
}

#[test]
fn countries_are_allowed_or_denied() {
    let known = Countries::new(database());
    let check = |allow: &str, deny: &str, unknown, address: &str| {
        let countries = countries(allow, deny, unknown, known.clone());
        let rules = AddressRules { countries, exempt: networks("127.0.0.0/8"), ..AddressRules::default() };
        rules.check(ip(address))
    };
    let refused = Err(Refused::Country);
    for (allow, deny, unknown, address, expected) in [
        ("DE FR", "", Unknown::Deny, "203.0.113.1", Ok(())),
        ("DE FR", "", Unknown::Deny, "198.51.100.200", refused),
        ("", "US", Unknown::Deny, "198.51.100.200", refused),
        ("", "US", Unknown::Deny, "203.0.113.1", Ok(())),
        ("DE", "DE", Unknown::Allow, "203.0.113.1", refused),
        ("JP", "", Unknown::Allow, "2001:db8::1", Ok(())),
        ("DE", "", Unknown::Allow, "192.0.2.1", Ok(())),
        ("DE", "", Unknown::Deny, "192.0.2.1", refused),
        ("", "US", Unknown::Deny, "192.0.2.1", refused),
        // Nobody asks where somebody comes from.
        ("", "", Unknown::Deny, "192.0.2.1", Ok(())),
        ("DE", "", Unknown::Deny, "127.0.0.1", Ok(())),
    ] {
        assert_eq!(check(allow, deny, unknown, address), expected, "{allow}|{deny}|{unknown:?}|{address}");
    }
}

#[test]
fn without_a_database_the_policy_holds() {
    for (unknown, expected) in [(Unknown::Allow, Ok(())), (Unknown::Deny, Err(Refused::Country))] {
        let countries = countries("DE", "", unknown, Countries::default());
        let rules = AddressRules { countries, ..AddressRules::default() };
        assert_eq!(rules.check(ip("203.0.113.1")), expected);
    }
}

#[test]
fn ten_thousand_networks_cost_no_allocation() {
    let rules =
        AddressRules { deny: super::super::speed::ten_thousand_networks(), ..AddressRules::default() };
    let proxies = Proxies::new(networks("10.0.0.0/8"), ForwardedBy::Either);
    let peer = "10.0.0.1:1".parse().unwrap();
    let counted = allocation_counter::measure(|| {
        for last in 0..100u8 {
            let _ = std::hint::black_box(rules.check([192, 0, 2, last].into()));
            let line = b"1.2.3.4, 203.0.113.9, 10.0.0.2".as_slice();
            let client = proxies.client(peer, [line].into_iter(), [].into_iter());
            assert_eq!(client.address.ip(), ip("203.0.113.9"));
        }
    });
    assert_eq!(counted.count_total, 0);
}
