//! The keys that say who may come in by where they come from, and who speaks for others.

use std::path::PathBuf;

use turnpike_daemon::config::{List, Setting};
use turnpike_daemon::{choice, section};
use turnpike_guard::address::{Country, Network};

section! {
    /// Where clients come from: who may come in, and which machines in front speak for them.
    pub(crate) struct Addresses in "addresses" {
        /// Proxies whose headers say for whom they ask. The rightmost address that is none of them is the client.
        trusted_proxies: List<Cidr> = "", "TURNPIKE_TRUSTED_PROXIES";
        /// Which header these proxies write: `X-Forwarded-For`, `Forwarded`, or the second where the first is not there.
        forwarded_by: Header = "either", "TURNPIKE_FORWARDED_BY";
        /// Machines whose connections must begin with a PROXY header of version 2, which says for whom they are made.
        proxy_protocol: List<Cidr> = "", "TURNPIKE_PROXY_PROTOCOL";
        /// These alone may come in. Not set: everybody.
        allow: List<Cidr> = "", "TURNPIKE_ADDRESS_ALLOW";
        /// These may not, whatever else is said of them.
        deny: List<Cidr> = "", "TURNPIKE_ADDRESS_DENY";
        /// Free of the limits and bans by address, of `allow` and of the countries.
        exempt: List<Cidr> = "127.0.0.0/8,::1", "TURNPIKE_ADDRESS_EXEMPT";
        /// A database of countries in MaxMind's form (`.mmdb`). It is read again when it changes.
        country_file: Option<PathBuf> = "", "TURNPIKE_COUNTRY_FILE";
        /// Clients of these countries alone may come in (ISO 3166, such as `DE`). Not set: of all.
        country_allow: List<CountryCode> = "", "TURNPIKE_COUNTRY_ALLOW";
        /// Clients of these countries may not.
        country_deny: List<CountryCode> = "", "TURNPIKE_COUNTRY_DENY";
        /// What holds for an address whose country is not known, and for all while the file is missing.
        country_unknown: Unknown = "allow", "TURNPIKE_COUNTRY_UNKNOWN";
    }
}

/// A network, or one address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cidr(pub(crate) Network);

impl Setting for Cidr {
    const EXPECTS: &'static str =
        "networks and addresses such as `10.0.0.0/8`, `2001:db8::/32` or `192.0.2.1`, separated by commas";

    fn parse(text: &str) -> Result<Self, String> {
        text.parse()
            .map(Self)
            .map_err(|error: turnpike_guard::address::NetworkError| format!("is none: {error}"))
    }

    fn show(&self) -> String {
        self.0.to_string()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CountryCode(pub(crate) Country);

impl Setting for CountryCode {
    const EXPECTS: &'static str = "countries by their two letters, such as `DE`, separated by commas";

    fn parse(text: &str) -> Result<Self, String> {
        text.parse().map(Self).map_err(|_| "is not two letters".into())
    }

    fn show(&self) -> String {
        self.0.to_string()
    }
}

choice! {
    pub(crate) enum Header {
        Either = "either",
        XForwardedFor = "x-forwarded-for",
        Forwarded = "forwarded",
    }
    expects "`either`, `x-forwarded-for` or `forwarded`"
}

choice! {
    pub(crate) enum Unknown {
        Allow = "allow",
        Deny = "deny",
    }
    expects "`allow` or `deny`"
}
