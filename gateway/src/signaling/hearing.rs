//! What relays say. Nothing of it is believed that another relay could have said as well.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use serde_json::value::RawValue;
use turnpike_cluster::{Incarnation, Letter};
use turnpike_wire::Code;
use turnpike_wire::media::relay::{Answered, FromRelay, TO_GATEWAYS, ToRelay};

use super::letters::{Asking, Reply, Said, Unanswered};
use super::table::{Heard, NoPlace};
use super::{Signaling, gone, permit};
use crate::app::App;

/// From here on relays are heard.
pub(crate) fn listen(app: &Arc<App>) {
    app.hear(TO_GATEWAYS, take);
}

fn take(app: &Arc<App>, letter: &Letter) {
    let signaling = &app.signaling;
    // Each word by itself: a relay of a later version may say something besides that is not known here.
    let Ok(words) = serde_json::from_slice::<Vec<&RawValue>>(&letter.words) else {
        return signaling.refuse(letter.from, "not a list of words");
    };
    for word in words {
        match serde_json::from_str(word.get()) {
            Ok(FromRelay::Note(note)) => {
                signaling.letters.write(letter.from, &[ToRelay::Noted { id: note.id }]);
                app.report_stream(&note);
            }
            Ok(FromRelay::Lost { relay }) => {
                let (relay, lost) = (Incarnation(relay), Arc::clone(app));
                app.spawn(async move { lost.signaling.look_after(relay).await });
            }
            Ok(word) => signaling.hear(letter.from, word),
            Err(_) => signaling.refuse(letter.from, "a word that is not known"),
        }
    }
}

impl Signaling {
    fn hear(&self, relay: Incarnation, word: FromRelay) {
        match word {
            FromRelay::Answered { id, answer } => {
                if let Some(unanswered) = self.letters.answered(relay, id) {
                    self.answered(unanswered, answer);
                } else {
                    // The second answer to what was asked twice, or too late.
                    tracing::trace!(%relay, id, "an answer that nobody waits for");
                }
            }
            FromRelay::Done { id } => self.reply(relay, id, Ok(Said::Done)),
            FromRelay::Recorded { id, recording } => self.reply(relay, id, Ok(Said::Recorded(recording))),
            FromRelay::Failed { id, refusal } => self.reply(relay, id, Err(refusal)),
            FromRelay::Event { session, number, event } => {
                if session.relay != relay.0 {
                    return self.refuse(relay, "an event of another relay's session");
                }
                let heard = self.table().hear(session, number, event);
                match heard {
                    Heard::To(told) => self.tell(&told),
                    Heard::Later | Heard::Old => {}
                    // Of a session that has just ended here; the relay will know soon.
                    Heard::Unknown => tracing::trace!(%relay, ?session, "an event of no session"),
                }
            }
            FromRelay::Foreign { sessions } => {
                let mut table = self.table();
                sessions
                    .into_iter()
                    .filter(|session| session.relay == relay.0)
                    .for_each(|one| table.remove(one));
            }
            FromRelay::Over { sessions } => {
                for session in sessions.into_iter().filter(|session| session.relay == relay.0) {
                    self.end(session, Code::Unavailable);
                }
            }
            // Taken before.
            FromRelay::Note(_) | FromRelay::Lost { .. } => {}
        }
    }

    /// The session is that client's from here on: what the relay says next is for it.
    fn answered(&self, unanswered: Unanswered, answer: Answered) {
        let reply: Reply = match &unanswered.client {
            None => Ok(Said::OfSession(answer)),
            Some(Asking { session, id, identity }) => {
                let of = (answer.stream.clone(), answer.role);
                let attached = permit(identity, &of.0, of.1).and_then(|()| {
                    self.table().attach(*id, *session, of, answer.events).map_err(|NoPlace| gone())
                });
                match attached {
                    Ok(()) => Ok(Said::OfSession(answer)),
                    Err(failure) => {
                        self.give_up(*session);
                        Err(failure.into())
                    }
                }
            }
        };
        unanswered.reply(reply);
    }

    fn reply(&self, relay: Incarnation, id: u64, reply: Reply) {
        if let Some(unanswered) = self.letters.answered(relay, id) {
            unanswered.reply(reply);
        }
    }

    fn refuse(&self, relay: Incarnation, why: &'static str) {
        self.counts.words_refused.fetch_add(1, Ordering::Relaxed);
        tracing::warn!(%relay, why, "a relay was not understood");
    }
}
