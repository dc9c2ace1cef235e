//! Which relay is asked for a new session, and the next one if that one cannot; and what becomes of one that does not answer
//! any more.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use turnpike_cluster::{Incarnation, Node};
use turnpike_wire::event::media::SdpType;
use turnpike_wire::media::MediaSession;
use turnpike_wire::media::relay::{Answered, Ask, Holder, Refusal, Request, ToRelay};
use turnpike_wire::{Code, Failure};

use super::letters::{self, Asking, Said, Silence};
use super::{Client, Described, Signaling, draw_key, no_relay, relays};

/// A relay that turned somebody down may name another, and that one a third.
const RELAYS_ASKED_MAX: usize = 3;

/// How often a relay that does not answer is asked again, as long as the nodes take it for alive.
const SUSPECT_ASKED_EVERY: Duration = Duration::from_secs(1);

impl Signaling {
    /// A new session, at the relay that is chosen or at one that it names instead. Who has no room is not chosen again.
    pub(super) async fn begin(
        &self,
        client: &Client,
        choose: impl Fn(&[Node], &dyn Fn(Incarnation) -> bool) -> Option<Incarnation>,
        ask: impl Fn() -> Ask,
        kind: SdpType,
    ) -> Result<Described, Failure> {
        let mut asked = Vec::new();
        let choose = |asked: &[Incarnation]| {
            choose(&self.nodes(), &|relay| asked.contains(&relay) || self.suspects.is_silent(relay))
        };
        let mut relay = choose(&asked).ok_or_else(no_relay)?;
        for _ in 0..RELAYS_ASKED_MAX {
            asked.push(relay);
            let session = MediaSession { relay: relay.0, key: draw_key()? };
            let refusal = match self.request(client, session, ask()).await {
                Ok(Ok(Said::OfSession(Answered { stream, sdp: Some(sdp), .. }))) => {
                    return Ok(Described { session, stream, kind, sdp });
                }
                // It has begun something, and says nothing of how to get there.
                Ok(Ok(_)) => {
                    self.counts.words_refused.fetch_add(1, Ordering::Relaxed);
                    self.give_up(session);
                    return Err(Code::Internal.into());
                }
                Ok(Err(refusal)) => refusal,
                Err(Silence) => {
                    self.give_up(session);
                    if !self.suspects.is_silent(relay) {
                        return Err(no_relay());
                    }
                    Refusal::from(no_relay())
                }
            };
            let named = refusal.elsewhere.map(Incarnation);
            let named =
                named.filter(|other| relays::is_relay(&self.nodes(), *other) && !asked.contains(other));
            let next = named.or_else(|| (refusal.code == Code::NoRelay).then(|| choose(&asked)).flatten());
            relay = next.ok_or_else(|| Failure::from(refusal))?;
        }
        Err(no_relay())
    }

    pub(super) async fn request(
        &self,
        client: &Client,
        session: MediaSession,
        ask: Ask,
    ) -> Result<letters::Reply, Silence> {
        let Client { socket, identity } = client;
        let by = Holder {
            user: identity.user.clone(),
            name: identity.name.as_ref().map(|name| name.as_str().into()),
            connection: socket.id().to_string().into(),
        };
        // What is stopped becomes nobody's: its end may even be heard before the answer.
        let becomes_theirs = !matches!(ask, Ask::Stop);
        let asking = || Asking { session, id: socket.id(), identity: Arc::clone(identity) };
        let asking = becomes_theirs.then(asking);
        let word = |id| ToRelay::Request(Box::new(Request { id, session, by, ask }));
        let relay = Incarnation(session.relay);
        tokio::select! {
            reply = self.letters.ask(relay, asking, word) => reply,
            () = self.suspects.silence(relay) => Err(Silence),
        }
    }

    /// Another relay has lost that one. If it does not answer us either, its sessions are over, and nobody is sent there until
    /// it says something or is gone for good.
    pub(super) async fn look_after(&self, relay: Incarnation) {
        if !relays::is_relay(&self.nodes(), relay) {
            return;
        }
        let Some(watch) = self.suspects.watch(relay) else { return };
        if self.letters.lives(relay).await {
            return;
        }
        tracing::warn!(%relay, "another relay has lost it, and it does not answer: its sessions are over");
        self.counts.relays_lost.fetch_add(1, Ordering::Relaxed);
        watch.fell_silent();
        let kept = self.table().kept().remove(&relay.0).unwrap_or_default();
        for kept in &kept {
            self.end(kept.session, Code::NoRelay);
        }
        while relays::is_relay(&self.nodes(), relay) {
            if self.letters.lives(relay).await {
                // It was there all the time, and so are they.
                drop(watch);
                return self.letters.gone(kept.into_iter().map(|kept| kept.session).collect());
            }
            tokio::time::sleep(SUSPECT_ASKED_EVERY).await;
        }
    }
}
