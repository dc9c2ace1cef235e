//! What the events of live video have in common: they are worked on beside the connection's other events, because a relay
//! may take seconds to answer, and what comes of a session follows the answer that names it.

use std::future::Future;

use turnpike_engine::packet::Args;
use turnpike_engine::{AckReply, Step};
use turnpike_wire::event::media::MediaDescribed;
use turnpike_wire::event::{ClientEvent, Empty};
use turnpike_wire::media::relay::Ask;
use turnpike_wire::media::{MediaSession, Sdp};
use turnpike_wire::{Code, Failure};

use super::{
    Caller, Reply, answer, media_answer, media_candidate, media_layer, media_mute, media_publish,
    media_record, media_restart, media_resume, media_stop, media_subscribe,
};
use crate::membership::gone;
use crate::signaling::{Client, Described};

/// The answer, and the session that it is about, if it is about one.
pub(super) type Media = Result<(Reply, Option<MediaSession>), Failure>;

/// Events of one connection that are under way at once, those of messages among them. Then the connection's next events
/// wait.
const UNANSWERED_MAX: u32 = 64;

pub(super) fn handle(caller: Caller, event: ClientEvent, args: Args, ack: Option<AckReply>) -> Step<()> {
    match event {
        ClientEvent::MediaPublish => beside(caller, event, ack, |caller| async move {
            media_publish::apply(&caller, media_publish::parse(&args)?).await
        }),
        ClientEvent::MediaSubscribe => beside(caller, event, ack, |caller| async move {
            media_subscribe::apply(&caller, media_subscribe::parse(&args)?).await
        }),
        ClientEvent::MediaRestart => beside(caller, event, ack, |caller| async move {
            media_restart::apply(&caller, media_restart::parse(&args)?).await
        }),
        ClientEvent::MediaResume => beside(caller, event, ack, |caller| async move {
            media_resume::apply(&caller, media_resume::parse(&args)?).await
        }),
        ClientEvent::MediaAnswer => beside(caller, event, ack, |caller| async move {
            media_answer::apply(&caller, media_answer::parse(&args)?).await
        }),
        ClientEvent::MediaCandidate => beside(caller, event, ack, |caller| async move {
            media_candidate::apply(&caller, media_candidate::parse(&args)?).await
        }),
        ClientEvent::MediaLayer => beside(caller, event, ack, |caller| async move {
            media_layer::apply(&caller, media_layer::parse(&args)?).await
        }),
        ClientEvent::MediaMute => beside(caller, event, ack, |caller| async move {
            media_mute::apply(&caller, media_mute::parse(&args)?).await
        }),
        ClientEvent::MediaRecord => beside(caller, event, ack, |caller| async move {
            media_record::apply(&caller, media_record::parse(&args)?).await
        }),
        ClientEvent::MediaStop => beside(caller, event, ack, |caller| async move {
            media_stop::apply(&caller, media_stop::parse(&args)?).await
        }),
        _ => {
            answer(&caller, event, ack, Err(Code::UnknownEvent.into()));
            Step::Now(())
        }
    }
}

/// Handles an event that the connection's next events need not wait for. Of one session they keep their order: the first
/// part of the work, up to where it waits for the session, is done here.
fn beside<F: Future<Output = Media> + 'static>(
    caller: Caller,
    event: ClientEvent,
    ack: Option<AckReply>,
    work: impl FnOnce(Caller) -> F,
) -> Step<()> {
    let under_way = caller.session.begin_unanswered();
    let work = work(caller.clone());
    let work = async move {
        let (outcome, session) = match work.await {
            Ok((reply, session)) => (Ok(reply), session),
            Err(failure) => (Err(failure), None),
        };
        caller.session.end_unanswered();
        answer(&caller, event, ack, outcome);
        if let Some(session) = session {
            caller.app.signaling.opened(session);
        }
    };
    match crate::step::step(work) {
        Step::Later(work) if under_way <= UNANSWERED_MAX => {
            tokio::task::spawn_local(work);
            Step::Now(())
        }
        step => step,
    }
}

impl Caller {
    /// As whom the caller asks of live video.
    pub(super) fn media_client(&self) -> Result<Client, Failure> {
        let state = self.session.state();
        if !state.is_connected_as(&self.socket) {
            return Err(gone());
        }
        Ok(Client { socket: self.socket, identity: std::sync::Arc::clone(&state.identity) })
    }
}

pub(super) fn sdp(text: &str) -> Result<Sdp, Failure> {
    Sdp::parse(text).map_err(|error| Failure::new(error.code(), error.to_string()))
}

pub(super) fn description(described: &Described) -> (Reply, Option<MediaSession>) {
    let Described { session, stream, kind, sdp } = described;
    let reply = MediaDescribed { session: *session, stream, r#type: *kind, sdp };
    (Reply::new(reply), Some(*session))
}

/// For what is answered with nothing.
pub(super) async fn done(caller: &Caller, session: MediaSession, ask: Ask) -> Media {
    caller.app.signaling.ask(&caller.media_client()?, session, ask).await?;
    Ok((Reply::new(Empty {}), Some(session)))
}
