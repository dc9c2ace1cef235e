//! Streams that live elsewhere and are watched here: fetched by a link from their home, or from a relay that has them from
//! there, for as long as anybody watches.
//!
//! One task holds each. When the other end goes it attaches again, wherever the stream is by then; those who watch keep their
//! sessions meanwhile.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, watch};
use tokio::time::timeout;
use turnpike_cluster::{Incarnation, Node};
use turnpike_wire::media::relay::stream_entry;
use turnpike_wire::{Code, Failure, RoomId};

use super::{Homes, Uplinks, ring};
use crate::carry::{FeedNews, PipeId};
use crate::link::NotAttached;
use crate::{Ask, Face, Told};

/// How long somebody who comes to watch waits until the stream is attached.
const READY_MAX: Duration = Duration::from_secs(2);

/// How long one relay may take to give the stream.
const ATTEMPT_MAX: Duration = Duration::from_secs(2);

/// Relays that are asked for a stream before the home is looked up again: the home, and some that have it from there.
const RELAYS_ASKED_MAX: usize = 6;

/// The first attempt after an end is made at once, the next ones after this and after twice as long each time.
const AGAIN_AFTER: Duration = Duration::from_millis(100);
const AGAIN_AFTER_MAX: Duration = Duration::from_secs(2);

/// How long those who watch wait for a publisher that nobody knows of. A home that has died is missed for less, and then the
/// publisher comes back.
const HOMELESS_MAX: Duration = Duration::from_secs(30);

/// What holds for less is no success: it counts as one more failed attempt.
const HELD_MIN: Duration = Duration::from_secs(1);

/// Somebody who has asked is about to watch.
const ABOUT_TO_WATCH: Duration = Duration::from_secs(5);

/// How soon somebody may ask again whom the stream could not be fetched for.
const COME_AGAIN_MS: u64 = 500;

/// More than a relay has viewers of different streams.
const ATTACHMENTS_MAX: usize = 16_384;

#[derive(Default)]
pub(super) struct Attachments(Mutex<HashMap<RoomId, Attachment>>);

struct Attachment {
    step: watch::Sender<Step>,
    /// The relay that gives it.
    from: Option<Incarnation>,
    changed: Arc<Notify>,
    /// When somebody last wanted to watch.
    asked: Instant,
    /// What was said of its latest pipes.
    heard: HashMap<PipeId, Heard>,
}

#[derive(Debug, Clone, PartialEq)]
enum Step {
    /// Nothing comes.
    Waiting,
    /// It comes, or is here. Who asks to watch before it is known what it is waits in the shard.
    Attached,
    Failed(Failure),
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Heard {
    is_gone: bool,
    is_unwatched: bool,
}

/// Where the stream comes from.
enum Found {
    /// It lives here by now.
    Here,
    Through(PipeId, Incarnation),
}

impl Attachments {
    fn all(&self) -> MutexGuard<'_, HashMap<RoomId, Attachment>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a shard says of the lower end of a pipe.
    pub(super) fn hear(&self, stream: &RoomId, news: FeedNews) {
        let mut all = self.all();
        let Some(attachment) = all.get_mut(stream) else { return };
        match news {
            FeedNews::Over(pipe) | FeedNews::Blocked(pipe) => {
                attachment.heard.entry(pipe).or_default().is_gone = true;
            }
            FeedNews::Unwatched(pipe) => attachment.heard.entry(pipe).or_default().is_unwatched = true,
        }
        attachment.changed.notify_one();
    }

    /// Whether there is one, and when somebody last asked for it.
    #[cfg(test)]
    pub(super) fn asked(&self, stream: &RoomId, change: impl FnOnce(&mut Instant)) -> bool {
        self.all().get_mut(stream).map(|attachment| change(&mut attachment.asked)).is_some()
    }

    /// Before another pipe is opened: what was said of earlier ones is of no interest any more.
    fn clear(&self, stream: &RoomId) {
        if let Some(attachment) = self.all().get_mut(stream) {
            attachment.heard.clear();
            attachment.from = None;
            attachment.step.send_if_modified(|step| std::mem::replace(step, Step::Waiting) != Step::Waiting);
        }
    }

    fn heard(&self, stream: &RoomId, pipe: PipeId) -> Heard {
        let all = self.all();
        all.get(stream).and_then(|attachment| attachment.heard.get(&pipe)).copied().unwrap_or_default()
    }

    fn attached(&self, stream: &RoomId, from: Incarnation) {
        if let Some(attachment) = self.all().get_mut(stream) {
            attachment.from = Some(from);
            attachment.step.send_replace(Step::Attached);
        }
    }

    /// The relay that a stream comes from, if it comes from one.
    pub(super) fn source(&self, stream: &RoomId) -> Option<Incarnation> {
        self.all().get(stream)?.from
    }

    /// False: somebody is about to watch, so it is kept.
    fn remove_unwatched(&self, stream: &RoomId) -> bool {
        let mut all = self.all();
        let is_wanted = |attachment: &mut Attachment| {
            attachment.heard.values_mut().for_each(|heard| heard.is_unwatched = false);
            attachment.asked.elapsed() < ABOUT_TO_WATCH
        };
        if all.get_mut(stream).is_some_and(is_wanted) {
            return false;
        }
        all.remove(stream);
        true
    }

    /// Whoever waits for it is told so.
    fn end(&self, stream: &RoomId, step: Step) {
        if let Some(attachment) = self.all().remove(stream) {
            attachment.step.send_replace(step);
        }
    }
}

impl<F: Face> Homes<F> {
    /// Sees to it that the stream can be watched here, if it can be watched anywhere.
    pub(crate) async fn bring(self: &Arc<Self>, stream: &RoomId) -> Result<(), Failure> {
        let Some(links) = &self.links else { return Ok(()) };
        if self.streams().contains_key(stream) {
            return Ok(());
        }
        let mut step = {
            let mut all = self.attachments.all();
            if let Some(attachment) = all.get_mut(stream) {
                attachment.asked = Instant::now();
                attachment.step.subscribe()
            } else {
                if all.len() >= ATTACHMENTS_MAX {
                    return Err(come_again());
                }
                let (step, steps) = watch::channel(Step::Waiting);
                let changed = Arc::new(Notify::new());
                let attachment = Attachment {
                    step,
                    from: None,
                    changed: Arc::clone(&changed),
                    asked: Instant::now(),
                    heard: HashMap::new(),
                };
                all.insert(stream.clone(), attachment);
                let (homes, links, stream) = (Arc::clone(self), Arc::clone(links), stream.clone());
                tokio::spawn(async move { homes.hold(&*links, &stream, &changed).await });
                steps
            }
        };
        match timeout(READY_MAX, step.wait_for(|step| *step != Step::Waiting)).await {
            Ok(Ok(step)) => match &*step {
                Step::Failed(failure) => Err(failure.clone()),
                Step::Attached | Step::Waiting => Ok(()),
            },
            // It takes too long, or has just been given up.
            Ok(Err(_)) | Err(_) => Err(come_again()),
        }
    }

    /// Until nobody watches any more, or the stream is nowhere to be had.
    async fn hold(&self, links: &dyn Uplinks, stream: &RoomId, changed: &Notify) {
        let begun = Instant::now();
        let (mut was_there, mut pause) = (false, Duration::ZERO);
        // Since when nobody knows of a publisher.
        let mut homeless: Option<Instant> = None;
        loop {
            self.attachments.clear(stream);
            match self.attach(links, stream).await {
                Ok(Found::Here) => return self.attachments.end(stream, Step::Attached),
                Ok(Found::Through(pipe, from)) => {
                    (was_there, homeless) = (true, None);
                    let since = Instant::now();
                    self.attachments.attached(stream, from);
                    if !self.follow(stream, pipe, changed).await {
                        return links.detach(stream, pipe).await;
                    }
                    if since.elapsed() >= HELD_MIN {
                        pause = Duration::ZERO;
                    }
                }
                Err(failure) if !was_there => {
                    if failure.code == Code::NoSuchStream || begun.elapsed() >= READY_MAX {
                        return self.attachments.end(stream, Step::Failed(failure));
                    }
                }
                Err(failure) => {
                    let is_homeless = failure.code == Code::NoSuchStream;
                    homeless = is_homeless.then(|| homeless.unwrap_or_else(Instant::now));
                    if homeless.is_some_and(|since| since.elapsed() >= HOMELESS_MAX) {
                        tracing::info!(%stream, "nobody publishes it any more, so it ends here as well");
                        let _ = self.face.ask(Ask::End { stream: stream.clone() }).await;
                        return self.attachments.end(stream, Step::Failed(failure));
                    }
                    if !self.is_watched(stream).await && self.attachments.remove_unwatched(stream) {
                        return;
                    }
                }
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).clamp(AGAIN_AFTER, AGAIN_AFTER_MAX);
        }
    }

    /// Follows what is said of the pipe. True: it is gone, and somebody may watch. False: nobody watches, and the attachment
    /// is no more.
    async fn follow(&self, stream: &RoomId, pipe: PipeId, changed: &Notify) -> bool {
        loop {
            let heard = self.attachments.heard(stream, pipe);
            if heard.is_gone {
                return true;
            }
            if heard.is_unwatched && self.attachments.remove_unwatched(stream) {
                return false;
            }
            changed.notified().await;
        }
    }

    /// Asks the home, and those whom it names.
    async fn attach(&self, links: &dyn Uplinks, stream: &RoomId) -> Result<Found, Failure> {
        let found = self.cluster.directory.find(&stream_entry(stream)).wait().await;
        let found =
            found.map_err(|error| Failure::from(Code::Unavailable).retry_after_ms(error.retry_after_ms))?;
        let home = found.ok_or(Code::NoSuchStream)?.owner;
        let own = self.cluster.membership.own();
        if home == own {
            return Ok(Found::Here);
        }
        let nodes = self.cluster.membership.nodes();
        let (mut asked, mut next) = (Vec::new(), VecDeque::from([home]));
        let mut failure = come_again();
        while let Some(relay) = next.pop_front()
            && asked.len() < RELAYS_ASKED_MAX
        {
            if relay == own || asked.contains(&relay) {
                continue;
            }
            asked.push(relay);
            let target = nodes.borrow().iter().find(|node| node.incarnation == relay).and_then(ring::target);
            let Some(target) = target else { continue };
            match timeout(ATTEMPT_MAX, links.attach(stream, target)).await {
                Ok(Ok(pipe)) => return Ok(Found::Through(pipe, relay)),
                Ok(Err(NotAttached::Elsewhere(others))) => {
                    next.extend(by_load(&nodes.borrow(), others));
                }
                // Its publisher has not come yet, or has just gone.
                Ok(Err(NotAttached::NoSuchStream)) if relay == home => failure = Code::NoSuchStream.into(),
                Ok(Err(NotAttached::NoSuchStream | NotAttached::Loop | NotAttached::Unreachable))
                | Err(_) => {}
            }
        }
        Err(failure)
    }

    async fn is_watched(&self, stream: &RoomId) -> bool {
        match self.face.ask(Ask::Streams).await {
            Ok(Told::Streams(found)) => found.iter().any(|info| info.stream == *stream && info.viewers > 0),
            // It is asked again.
            _ => true,
        }
    }
}

/// Those with the least to do first.
fn by_load(nodes: &[Node], relays: Vec<u64>) -> Vec<Incarnation> {
    let load = |relay: &Incarnation| {
        let offer = nodes.iter().find(|node| node.incarnation == *relay).and_then(|node| node.relay.as_ref());
        offer.map_or(u16::MAX, |offer| offer.load_permille)
    };
    let mut relays: Vec<Incarnation> = relays.into_iter().map(Incarnation).collect();
    relays.sort_by_key(load);
    relays
}

fn come_again() -> Failure {
    Failure::from(Code::NoRelay).retry_after_ms(COME_AGAIN_MS)
}
