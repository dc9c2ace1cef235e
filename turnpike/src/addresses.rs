//! Who may come in by where they come from, as the process was told; and the database of countries, read again when it changes.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use prometheus::{IntGauge, Registry};
use turnpike_daemon::tasks::{Stop, Tasks};
use turnpike_gateway::Front;
use turnpike_guard::address::{
    AddressRules, COUNTRY_FILE_BYTES_MAX, Countries, CountryDatabase, CountryRules, ForwardedBy, Networks,
    Proxies, Unknown,
};

use crate::config::{self, Cidr, Config};

/// A look at the file's date and size; it is read only when they are others.
const INTERVAL: Duration = Duration::from_secs(2);

fn networks(listed: &[Cidr]) -> Networks {
    listed.iter().map(|cidr| cidr.0).collect()
}

/// Whose connections are other people's: those of the proxies that are believed, and of the balancers that introduce.
pub(crate) fn trusted(config: &Config) -> Networks {
    let config::Addresses { trusted_proxies, proxy_protocol, .. } = &config.addresses;
    trusted_proxies.0.iter().chain(&proxy_protocol.0).map(|cidr| cidr.0).collect()
}

/// Who speaks for others, and how.
pub(crate) fn front(config: &Config) -> Front {
    let by = match config.addresses.forwarded_by {
        config::Header::Either => ForwardedBy::Either,
        config::Header::XForwardedFor => ForwardedBy::XForwardedFor,
        config::Header::Forwarded => ForwardedBy::Forwarded,
    };
    Front {
        proxies: Proxies::new(networks(&config.addresses.trusted_proxies.0), by),
        introduce: networks(&config.addresses.proxy_protocol.0),
    }
}

/// Who may come in. The countries are looked up in whatever [`CountryFile`] has read.
pub(crate) fn rules(config: &Config, countries: &Countries) -> AddressRules {
    let given = &config.addresses;
    let codes = |listed: &[config::CountryCode]| listed.iter().map(|code| code.0).collect();
    AddressRules {
        deny: networks(&given.deny.0),
        exempt: networks(&given.exempt.0),
        allow: networks(&given.allow.0),
        countries: CountryRules {
            allow: codes(&given.country_allow.0),
            deny: codes(&given.country_deny.0),
            unknown: match given.country_unknown {
                config::CountryUnknown::Allow => Unknown::Allow,
                config::CountryUnknown::Deny => Unknown::Deny,
            },
            countries: countries.clone(),
        },
    }
}

/// What this process says first when it asks its own listener, if its peer there is one that has to: a PROXY header of
/// version 2 that speaks for nobody else.
pub(crate) fn own_introduction(config: &Config, own: IpAddr) -> &'static [u8] {
    if networks(&config.addresses.proxy_protocol.0).contains(own) {
        b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0"
    } else {
        b""
    }
}

/// The file that the countries are read from, and what was last seen of it.
pub(crate) struct CountryFile {
    path: PathBuf,
    countries: Countries,
    seen: Option<Seen>,
    built: IntGauge,
}

/// Another file, or other content.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Seen {
    modified: SystemTime,
    bytes: u64,
}

impl CountryFile {
    /// Reads it for the first time, and says so if it cannot. None: there is to be none.
    pub(crate) fn open(
        config: &Config,
        countries: &Countries,
        registry: &Registry,
    ) -> Result<Option<Self>, prometheus::Error> {
        let built = IntGauge::new(
            "turnpike_country_file_built_timestamp_seconds",
            "When the database of countries was made that is in use; 0 while there is none.",
        )?;
        registry.register(Box::new(built.clone()))?;
        let Some(path) = config.addresses.country_file.clone() else { return Ok(None) };
        let mut file = Self { path, countries: countries.clone(), seen: None, built };
        file.look();
        if !countries.is_known() {
            let unknown = turnpike_daemon::config::Setting::show(&config.addresses.country_unknown);
            tracing::warn!(
                path = %file.path.display(),
                policy = unknown,
                "there is no database of countries: the policy for unknown ones holds for everybody"
            );
        }
        Ok(Some(file))
    }

    pub(crate) fn keep(self, tasks: &Tasks) {
        tasks.spawn("country file", |stop| self.watch(stop));
    }

    async fn watch(mut self, mut stop: Stop) {
        loop {
            tokio::select! {
                () = tokio::time::sleep(INTERVAL) => {}
                () = stop.requested() => return,
            }
            // A disk that hangs holds a thread made for that.
            let looked = tokio::task::spawn_blocking(move || {
                self.look();
                self
            });
            let Ok(file) = looked.await else { return };
            self = file;
        }
    }

    /// What holds goes on when the file is gone or broken: better last week's countries than none.
    fn look(&mut self) {
        let seen = seen(&self.path).ok();
        if seen == self.seen {
            return;
        }
        self.seen = seen;
        let path = self.path.display();
        let database = read(&self.path)
            .map_err(|error| error.to_string())
            .and_then(|content| CountryDatabase::parse(content).map_err(|error| error.to_string()));
        match database {
            Ok(database) => {
                let built_at = database.built_at();
                tracing::info!(%path, kind = database.kind(), built_at, "the database of countries was read");
                self.built.set(built_at.cast_signed());
                self.countries.replace(database);
            }
            Err(problem) => {
                tracing::error!(%path, problem, "the database of countries could not be read: what holds goes on");
            }
        }
    }
}

fn seen(path: &Path) -> io::Result<Seen> {
    let metadata = fs::metadata(path)?;
    Ok(Seen { modified: metadata.modified()?, bytes: metadata.len() })
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    File::open(path)?.take(COUNTRY_FILE_BYTES_MAX).read_to_end(&mut content)?;
    Ok(content)
}

#[cfg(test)]
mod tests {
    use turnpike_lab::{Directory, country_file};

    use super::*;

    #[test]
    fn another_file_takes_the_place_of_one_and_a_broken_one_does_not() {
        let directory = Directory::new("countries").unwrap();
        let path = directory.path().join("countries.mmdb");
        let countries = Countries::default();
        let built = IntGauge::new("built", "built").unwrap();
        let mut file = CountryFile { path: path.clone(), countries: countries.clone(), seen: None, built };
        let country = || countries.country([203, 0, 113, 9].into()).map(|country| country.to_string());
        file.look();
        assert_eq!((country(), file.built.get()), (None, 0));
        fs::write(&path, country_file(&[("203.0.113.0/24", "DE")])).unwrap();
        file.look();
        assert_eq!((country().as_deref(), file.built.get()), (Some("DE"), 1_700_000_000));
        fs::write(&path, "half of a file").unwrap();
        file.look();
        assert_eq!(country().as_deref(), Some("DE"));
        fs::remove_file(&path).unwrap();
        file.look();
        assert_eq!(country().as_deref(), Some("DE"));
        fs::write(&path, country_file(&[("203.0.113.0/24", "AT"), ("2001:db8::/32", "FR")])).unwrap();
        file.look();
        assert_eq!(country().as_deref(), Some("AT"));
    }
}
