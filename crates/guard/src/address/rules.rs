//! Who may come in at all, by where they come from.

use std::net::IpAddr;

use super::country::{Countries, Country};
use super::networks::Networks;

/// Why an address may not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// It is denied, or not among those that are allowed.
    Address,
    /// Its country is.
    Country,
}

impl Refused {
    /// A constant name, fit for a metric's label.
    pub fn slug(self) -> &'static str {
        match self {
            Self::Address => "address",
            Self::Country => "country",
        }
    }
}

/// What holds for an address of which no country is known: not in the database, or there is no database.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Unknown {
    #[default]
    Allow,
    Deny,
}

#[derive(Clone, Debug, Default)]
pub struct AddressRules {
    /// Stronger than all else.
    pub deny: Networks,
    /// Neither `allow` nor the countries are asked about them.
    pub exempt: Networks,
    /// If there are any, these alone may come in.
    pub allow: Networks,
    pub countries: CountryRules,
}

#[derive(Clone, Debug, Default)]
pub struct CountryRules {
    /// If there are any, these alone.
    pub allow: Vec<Country>,
    pub deny: Vec<Country>,
    pub unknown: Unknown,
    pub countries: Countries,
}

impl AddressRules {
    pub fn check(&self, address: IpAddr) -> Result<(), Refused> {
        if self.deny.contains(address) {
            return Err(Refused::Address);
        }
        if self.exempt.contains(address) {
            return Ok(());
        }
        if !self.allow.is_empty() && !self.allow.contains(address) {
            return Err(Refused::Address);
        }
        if self.countries.may_enter(address) { Ok(()) } else { Err(Refused::Country) }
    }

    pub fn is_exempt(&self, address: IpAddr) -> bool {
        self.exempt.contains(address)
    }
}

impl CountryRules {
    /// Whether it matters at all where somebody comes from.
    pub fn are_any(&self) -> bool {
        !self.allow.is_empty() || !self.deny.is_empty()
    }

    fn may_enter(&self, address: IpAddr) -> bool {
        if !self.are_any() {
            return true;
        }
        match self.countries.country(address) {
            Some(country) => {
                !self.deny.contains(&country) && (self.allow.is_empty() || self.allow.contains(&country))
            }
            None => self.unknown == Unknown::Allow,
        }
    }
}
