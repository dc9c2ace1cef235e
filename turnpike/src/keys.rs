//! The keys of tokens, wherever they come from: the configuration, files that change, an issuer that publishes its own.
//!
//! What a key is and which one a token needs is the guard's; here it is only found out which there are.

mod files;
mod issuer;
mod schedule;

use std::sync::{Arc, Mutex, PoisonError};

use prometheus::{IntGaugeVec, Opts, Registry};
use turnpike_daemon::health::Health;
use turnpike_daemon::tasks::Tasks;
use turnpike_guard::{KeyRing, TokenKey};

use self::files::Files;
use self::issuer::Issuer;
use crate::config::Config;
use crate::secrets::Secrets;

/// Which part of the ring somebody looks after.
#[derive(Debug, Clone, Copy)]
enum Source {
    Configuration,
    Files,
    Issuer,
}

impl Source {
    const ALL: [Self; 3] = [Self::Configuration, Self::Files, Self::Issuer];

    fn slug(self) -> &'static str {
        match self {
            Self::Configuration => "configuration",
            Self::Files => "files",
            Self::Issuer => "issuer",
        }
    }
}

/// The ring, put together from what each source has. Clones share it.
#[derive(Clone)]
struct Parts {
    ring: KeyRing,
    keys: Arc<Mutex<[Vec<TokenKey>; 3]>>,
    counts: IntGaugeVec,
}

impl Parts {
    /// From now on, these are all keys of that source.
    fn set(&self, source: Source, keys: Vec<TokenKey>) {
        self.counts.with_label_values(&[source.slug()]).set(i64::try_from(keys.len()).unwrap_or(i64::MAX));
        let mut parts = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        parts[source as usize] = keys;
        if let Err(error) = self.ring.replace(parts.concat()) {
            // Each source has a limit, and the ring has room for all of them.
            tracing::error!(%error, "the keys of tokens stay as they were");
        }
    }
}

/// Made before anything is bound, so that what cannot work is found at the start.
pub(crate) struct Keys {
    parts: Parts,
    files: Option<Files>,
    issuer: Option<Issuer>,
}

impl Keys {
    pub(crate) fn new(config: &Config, secrets: &Secrets, registry: &Registry) -> anyhow::Result<Self> {
        let about =
            Opts::new("turnpike_token_keys", "Keys that tokens may be signed with, by where they come from.");
        let counts = IntGaugeVec::new(about, &["source"])?;
        registry.register(Box::new(counts.clone()))?;
        let ring = KeyRing::new(Vec::new())?;
        let parts = Parts { ring, keys: Arc::default(), counts };
        for source in Source::ALL {
            parts.set(source, Vec::new());
        }
        let secret = [&secrets.token, &secrets.token_next].into_iter().flatten();
        let mut fixed = secret
            .map(|secret| TokenKey::hs256(secret.reveal().as_bytes()))
            .collect::<Result<Vec<_>, _>>()?;
        let public = &config.auth.public_keys.0;
        fixed.extend(public.iter().filter(|key| key.file.is_none()).map(|key| key.key.clone()));
        parts.set(Source::Configuration, fixed);
        let files = Files::new(public);
        if let Some(files) = &files {
            parts.set(Source::Files, files.keys());
        }
        let requests = issuer::requests(registry)?;
        let issuer =
            config.auth.jwks_url.as_ref().map(|url| Issuer::new(url, &config.auth, requests)).transpose()?;
        Ok(Self { parts, files, issuer })
    }

    /// It has the keys of this moment at any time.
    pub(crate) fn ring(&self) -> KeyRing {
        self.parts.ring.clone()
    }

    /// Looks after those that change, until the process ends.
    pub(crate) fn keep(self, tasks: &Tasks, health: &Health) {
        let Self { parts, files, issuer } = self;
        if let Some(files) = files {
            let parts = parts.clone();
            tasks.spawn("key files", |stop| files.keep(move |keys| parts.set(Source::Files, keys), stop));
        }
        if let Some(issuer) = issuer {
            let check = health.check("issuer keys");
            tasks.spawn("issuer keys", |stop| {
                issuer.keep(move |keys| parts.set(Source::Issuer, keys), check, stop)
            });
        }
    }
}
