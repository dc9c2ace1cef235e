//! What those who bring requests need of a relay. There is one relay; tests have others.

use std::future::Future;

use tokio::sync::mpsc;
use turnpike_wire::Failure;
use turnpike_wire::media::MediaSession;

use crate::{Ask, Notice, Relay, Told};

pub trait Face: Clone + Send + Sync + 'static {
    /// What is told about a session; see [`Relay::listen`].
    fn listen(&self, session: MediaSession) -> mpsc::Receiver<Notice>;

    fn ask(&self, ask: Ask) -> impl Future<Output = Result<Told, Failure>> + Send;
}

impl Face for Relay {
    fn listen(&self, session: MediaSession) -> mpsc::Receiver<Notice> {
        Self::listen(self, session)
    }

    async fn ask(&self, ask: Ask) -> Result<Told, Failure> {
        Self::ask(self, ask).await
    }
}
