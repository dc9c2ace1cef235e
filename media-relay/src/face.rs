//! What those who bring requests need of a relay. There is one relay; tests have others.

use std::future::Future;

use tokio::sync::mpsc;
use turnpike_wire::Failure;
use turnpike_wire::media::MediaSession;
use turnpike_wire::media::relay::Role;

use crate::{Ask, Notice, Relay, Told};

pub trait Face: Clone + Send + Sync + 'static {
    /// What is told about a session; see [`Relay::listen`].
    fn listen(&self, session: MediaSession) -> mpsc::Receiver<Notice>;

    fn ask(&self, ask: Ask) -> impl Future<Output = Result<Told, Failure>> + Send;

    /// The sessions of those who publish, or of those who watch.
    fn sessions(&self, role: Role) -> Vec<MediaSession>;

    /// Says something to whoever listens to the session.
    fn tell(&self, session: MediaSession, notice: Notice);

    /// Ends a session because the relay leaves.
    fn dismiss(&self, session: MediaSession) -> impl Future<Output = ()> + Send;
}

impl Face for Relay {
    fn listen(&self, session: MediaSession) -> mpsc::Receiver<Notice> {
        Self::listen(self, session)
    }

    async fn ask(&self, ask: Ask) -> Result<Told, Failure> {
        Self::ask(self, ask).await
    }

    fn sessions(&self, role: Role) -> Vec<MediaSession> {
        Self::sessions(self, role)
    }

    fn tell(&self, session: MediaSession, notice: Notice) {
        Self::tell(self, session, notice);
    }

    async fn dismiss(&self, session: MediaSession) {
        Self::dismiss(self, session).await;
    }
}
