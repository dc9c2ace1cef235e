//! Where somebody comes from: addresses and networks, who a proxy speaks for, and whether that place may come in at all.
//!
//! Values only: nothing here knows a socket, a file or an HTTP library. Whoever reads those hands over what was there.

mod canonical;
mod country;
mod forwarded;
mod network;
mod networks;
mod proxies;
mod proxy_header;
mod rules;

pub use canonical::{AddressKey, canonical};
pub use country::{COUNTRY_FILE_BYTES_MAX, Countries, Country, CountryDatabase, CountryError};
pub use network::{Network, NetworkError};
pub use networks::Networks;
pub use proxies::{Client, FORWARDED_HOPS_MAX, ForwardedBy, Proxies};
pub use proxy_header::{PROXY_HEADER_BYTES_MAX, ProxyHeader, ProxyHeaderError, read_proxy_header};
pub use rules::{AddressRules, CountryRules, Refused, Unknown};
