//! The country of an address, from a database in MaxMind's form.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use maxminddb::{MaxMindDbError, PathElement, Reader};

use super::canonical::canonical;

/// Larger than any database of countries, and than most with cities.
pub const COUNTRY_FILE_BYTES_MAX: u64 = 512 * 1024 * 1024;

/// Two letters of ISO 3166.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Country([u8; 2]);

#[derive(Debug, thiserror::Error)]
pub enum CountryError {
    #[error("`{text}` is no country: two letters of ISO 3166 such as `DE`")]
    Code { text: String },
    #[error("is no database in MaxMind's form")]
    Database(#[source] MaxMindDbError),
}

impl FromStr for Country {
    type Err = CountryError;

    fn from_str(text: &str) -> Result<Self, CountryError> {
        match *text.trim().as_bytes() {
            [a, b] if a.is_ascii_alphabetic() && b.is_ascii_alphabetic() => {
                Ok(Self([a.to_ascii_uppercase(), b.to_ascii_uppercase()]))
            }
            _ => Err(CountryError::Code { text: text.chars().take(16).collect() }),
        }
    }
}

impl fmt::Display for Country {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(str::from_utf8(&self.0).expect("these are letters"))
    }
}

impl fmt::Debug for Country {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A database that was read.
pub struct CountryDatabase(Reader<Vec<u8>>);

/// Where the code stands, from the first that is looked at: in MaxMind's own databases, where an address is in no country but
/// registered in one, and in those of others.
const PLACES: [&[PathElement<'static>]; 4] = [
    &[PathElement::Key("country"), PathElement::Key("iso_code")],
    &[PathElement::Key("registered_country"), PathElement::Key("iso_code")],
    &[PathElement::Key("country_code")],
    &[PathElement::Key("country")],
];

impl CountryDatabase {
    /// The whole content of the file. What it says of its own layout is checked; an entry that is broken is an address of no
    /// known country.
    pub fn parse(content: Vec<u8>) -> Result<Self, CountryError> {
        Ok(Self(Reader::from_source(content).map_err(CountryError::Database)?))
    }

    /// When it was made, in Unix seconds.
    pub fn built_at(&self) -> u64 {
        self.0.metadata().build_epoch
    }

    pub fn kind(&self) -> &str {
        &self.0.metadata().database_type
    }

    pub fn country(&self, address: IpAddr) -> Option<Country> {
        let found = self.0.lookup(canonical(address)).ok()?;
        if !found.has_data() {
            return None;
        }
        let code = |path: &&[PathElement<'_>]| found.decode_path::<&str>(path).ok().flatten();
        PLACES.iter().find_map(code)?.parse().ok()
    }
}

/// The database that holds at the moment, shared by all who ask. Whoever reads the file puts a new one in its place.
#[derive(Clone, Default)]
pub struct Countries(Arc<ArcSwapOption<CountryDatabase>>);

impl Countries {
    pub fn new(database: CountryDatabase) -> Self {
        let countries = Self::default();
        countries.replace(database);
        countries
    }

    pub fn replace(&self, database: CountryDatabase) {
        self.0.store(Some(Arc::new(database)));
    }

    /// None: it is not in the database, or there is none.
    pub fn country(&self, address: IpAddr) -> Option<Country> {
        self.0.load().as_ref()?.country(address)
    }

    pub fn is_known(&self) -> bool {
        self.0.load().is_some()
    }
}

impl fmt::Debug for Countries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Countries({})", if self.is_known() { "known" } else { "unknown" })
    }
}
