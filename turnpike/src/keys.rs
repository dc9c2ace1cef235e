//! The keys of tokens, wherever they come from: the configuration, files that change, an issuer that publishes its own.
//!
//! What a key is and which one a token needs is the guard's; here it is only found out which there are.

mod files;
mod issuer;
mod schedule;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use prometheus::{IntGaugeVec, Opts, Registry};
use tokio::sync::watch;
use turnpike_audit::{Audit, Event, Kind, Object, Outcome, Severity};
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
    audit: Audit,
    /// What the process began with is no change.
    is_kept: Arc<AtomicBool>,
}

impl Parts {
    /// From now on, these are all keys of that source.
    fn set(&self, source: Source, keys: Vec<TokenKey>) {
        self.counts.with_label_values(&[source.slug()]).set(i64::try_from(keys.len()).unwrap_or(i64::MAX));
        self.write_down(source, &keys);
        let mut parts = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        parts[source as usize] = keys;
        if let Err(error) = self.ring.replace(parts.concat()) {
            // Each source has a limit, and the ring has room for all of them.
            tracing::error!(%error, "the keys of tokens stay as they were");
        }
    }
}

impl Parts {
    /// Of each key that came or went. It is set whether that can be written or not: a key that was taken back must not be
    /// good any longer because a disk is full, and while the log fails nobody is let in with a new one either.
    fn write_down(&self, source: Source, keys: &[TokenKey]) {
        let before = {
            let parts = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
            parts[source as usize].iter().map(Label::of).collect::<BTreeSet<_>>()
        };
        let after: BTreeSet<Label> = keys.iter().map(Label::of).collect();
        let gone = before.difference(&after).map(|label| (label, "removed"));
        let is_kept = self.is_kept.load(Ordering::Relaxed);
        let (added, severity) = if is_kept { ("added", Severity::High) } else { ("loaded", Severity::Info) };
        let come = after.difference(&before).map(|label| (label, added));
        for (Label { id, algorithm, fingerprint }, reason) in gone.chain(come) {
            let event = Event::new(Kind::KeyChanged, Outcome::Success)
                .on(Object::Key, id.as_deref().unwrap_or("without an id"))
                .reason(reason)
                .severity(severity)
                .detail("source", source.slug())
                .detail("algorithm", *algorithm)
                .detail("fingerprint", fingerprint.as_deref().unwrap_or_default());
            self.audit.note(event);
        }
    }
}

/// What may be said of a key.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Label {
    id: Option<String>,
    algorithm: &'static str,
    fingerprint: Option<String>,
}

impl Label {
    fn of(key: &TokenKey) -> Self {
        let own = |text: Option<&str>| text.map(ToOwned::to_owned);
        Self { id: own(key.id()), algorithm: key.algorithm(), fingerprint: own(key.fingerprint()) }
    }
}

/// Made before anything is bound, so that what cannot work is found at the start.
pub(crate) struct Keys {
    parts: Parts,
    files: Files,
    issuer: Option<Issuer>,
}

impl Keys {
    pub(crate) fn new(
        config: &Config,
        secrets: &Secrets,
        registry: &Registry,
        audit: &Audit,
    ) -> anyhow::Result<Self> {
        let about =
            Opts::new("turnpike_token_keys", "Keys that tokens may be signed with, by where they come from.");
        let counts = IntGaugeVec::new(about, &["source"])?;
        registry.register(Box::new(counts.clone()))?;
        let ring = KeyRing::new(Vec::new())?;
        let parts =
            Parts { ring, keys: Arc::default(), counts, audit: audit.clone(), is_kept: Arc::default() };
        for source in Source::ALL {
            parts.set(source, Vec::new());
        }
        parts.set(Source::Configuration, fixed(config, secrets)?);
        let files = Files::new(&config.auth.public_keys.0);
        parts.set(Source::Files, files.keys());
        let requests = issuer::requests(registry)?;
        let issuer =
            config.auth.jwks_url.as_ref().map(|url| Issuer::new(url, &config.auth, requests)).transpose()?;
        Ok(Self { parts, files, issuer })
    }

    /// It has the keys of this moment at any time.
    pub(crate) fn ring(&self) -> KeyRing {
        self.parts.ring.clone()
    }

    /// Looks after those that change, until the process ends. Others can be given to it.
    pub(crate) fn keep(self, tasks: &Tasks, health: &Health) -> KeyExchange {
        let Self { parts, files, issuer } = self;
        parts.is_kept.store(true, Ordering::Relaxed);
        let listed = watch::Sender::new(files.clone());
        let exchange = KeyExchange { parts: parts.clone(), listed };
        let (kept, changes) = (parts.clone(), exchange.listed.subscribe());
        tasks.spawn("key files", |stop| files.keep(move |keys| kept.set(Source::Files, keys), changes, stop));
        if let Some(issuer) = issuer {
            let check = health.check("issuer keys");
            tasks.spawn("issuer keys", |stop| {
                issuer.keep(move |keys| parts.set(Source::Issuer, keys), check, stop)
            });
        }
        exchange
    }
}

/// Other keys for a process that runs, from a configuration that was read anew.
pub(crate) struct KeyExchange {
    parts: Parts,
    listed: watch::Sender<Files>,
}

impl KeyExchange {
    pub(crate) fn set(&self, config: &Config, secrets: &Secrets) -> anyhow::Result<()> {
        self.parts.set(Source::Configuration, fixed(config, secrets)?);
        self.listed.send_replace(Files::new(&config.auth.public_keys.0));
        Ok(())
    }
}

/// Those that stand in the configuration themselves.
fn fixed(config: &Config, secrets: &Secrets) -> anyhow::Result<Vec<TokenKey>> {
    let secret = [&secrets.token, &secrets.token_next].into_iter().flatten();
    let mut fixed =
        secret.map(|secret| TokenKey::hs256(secret.reveal().as_bytes())).collect::<Result<Vec<_>, _>>()?;
    let public = config.auth.public_keys.0.iter();
    fixed.extend(public.filter(|key| key.file.is_none()).map(|key| key.key.clone()));
    Ok(fixed)
}
