//! What takes time: asking the relay, and the directory before it.

use tokio::sync::mpsc;
use turnpike_cluster::Incarnation;
use turnpike_wire::media::relay::{Answered, Refusal};
use turnpike_wire::media::{MediaSession, Sdp};
use turnpike_wire::{Code, Failure, RoomId, UserId};

use super::Desk;
use crate::homes::NotHere;
use crate::{Ask, Face, Most, Notice, Opened, Told};

/// What was asked has an outcome.
pub(super) struct Finished {
    pub(super) gateway: Incarnation,
    pub(super) id: u64,
    /// None: it was about a whole stream.
    pub(super) session: Option<MediaSession>,
    pub(super) performed: Performed,
}

pub(super) enum Performed {
    Done {
        sdp: Option<Sdp>,
        /// The relay's offer that has its answer. Another may wait behind it by now.
        answered: Option<Sdp>,
        /// What is answered to the last request of a session.
        last: Option<Answered>,
    },
    Recorded(Box<str>),
    Refused(Refusal),
}

impl<F: Face> Desk<F> {
    pub(super) fn publish(
        &mut self,
        gateway: Incarnation,
        id: u64,
        session: MediaSession,
        stream: RoomId,
        user: UserId,
        offer: Sdp,
    ) {
        let (face, homes, notices) = (self.face.clone(), self.homes.clone(), self.notices.clone());
        self.beside(gateway, id, Some(session), async move {
            if let Err(not_here) = homes.claim(&stream).await {
                return Performed::Refused(match not_here {
                    NotHere::Unknown(failure) => failure.into(),
                    NotHere::Elsewhere(relay) => {
                        let refusal = Refusal::from(Failure::from(Code::StreamTaken));
                        Refusal { elsewhere: Some(relay.0), ..refusal }
                    }
                });
            }
            forward(session, face.listen(session), notices);
            let (offer, publisher) = (offer.as_str().to_owned(), user.clone());
            let ask =
                Ask::Publish { session, stream: stream.clone(), user: publisher, offer, most: Most::All };
            let told = face.ask(ask).await;
            if told.is_ok() {
                homes.published(&stream, &user);
            }
            performed(told, None, None)
        });
    }

    pub(super) fn watch(
        &mut self,
        gateway: Incarnation,
        id: u64,
        session: MediaSession,
        stream: RoomId,
        user: UserId,
        offer: Option<Sdp>,
    ) {
        let (face, homes, notices) = (self.face.clone(), self.homes.clone(), self.notices.clone());
        self.beside(gateway, id, Some(session), async move {
            if let Err(failure) = homes.bring(&stream).await {
                return Performed::Refused(failure.into());
            }
            forward(session, face.listen(session), notices);
            let offer = offer.map(|offer| offer.as_str().to_owned());
            performed(
                face.ask(Ask::Watch { session, stream, user, offer, most: Most::All }).await,
                None,
                None,
            )
        });
    }

    pub(super) fn perform(&mut self, gateway: Incarnation, id: u64, session: Option<MediaSession>, ask: Ask) {
        let face = self.face.clone();
        let answering = session.filter(|_| matches!(ask, Ask::Answer { .. }));
        let held = answering.and_then(|session| self.sessions.get(session));
        let answered = held.and_then(|held| held.offer().cloned());
        // The notice of the end may overtake the answer, and nothing is known of the session then.
        let last =
            matches!(ask, Ask::Stop { .. }).then(|| session.and_then(|session| self.answered(session, None)));
        let last = last.flatten();
        self.beside(gateway, id, session, async move { performed(face.ask(ask).await, answered, last) });
    }

    /// Nobody wants it, and nobody waits to hear that it is over.
    pub(super) fn stop(&self, session: MediaSession) {
        let face = self.face.clone();
        tokio::spawn(async move { drop(face.ask(Ask::Stop { session }).await) });
    }

    fn beside(
        &mut self,
        gateway: Incarnation,
        id: u64,
        session: Option<MediaSession>,
        work: impl Future<Output = Performed> + Send + 'static,
    ) {
        self.under_way += 1;
        let finished = self.finished.clone();
        tokio::spawn(async move {
            let performed = work.await;
            // There is room for all that are under way; without a reader the relay is over.
            let _ = finished.send(Finished { gateway, id, session, performed }).await;
        });
    }
}

fn performed(told: Result<Told, Failure>, answered: Option<Sdp>, last: Option<Answered>) -> Performed {
    let sdp = match told {
        Err(failure) => return Performed::Refused(failure.into()),
        Ok(Told::Opened(Opened { sdp, .. }) | Told::Sdp(sdp)) => Sdp::parse(&sdp).map(Some),
        Ok(Told::Recording { name }) => return Performed::Recorded(name.into()),
        Ok(Told::Fragment { .. } | Told::Streams(_) | Told::Look(_) | Told::Done) => Ok(None),
    };
    match sdp {
        Ok(sdp) => Performed::Done { sdp, answered, last },
        Err(_) => Performed::Refused(Failure::from(Code::Internal).into()),
    }
}

/// Brings a session's notices to the one who reads them all. It ends with the session; an end without the last notice means
/// that some were lost.
fn forward(
    session: MediaSession,
    mut notices: mpsc::Receiver<Notice>,
    all: mpsc::Sender<(MediaSession, Option<Notice>)>,
) {
    tokio::spawn(async move {
        let mut is_over = false;
        while let Some(notice) = notices.recv().await {
            is_over = matches!(notice, Notice::Ended(_));
            if all.send((session, Some(notice))).await.is_err() {
                return;
            }
        }
        if !is_over {
            let _ = all.send((session, None)).await;
        }
    });
}
