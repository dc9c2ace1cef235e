//! What a viewer is told while it watches: events of one session, for each of its event streams those that it asked for.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;
use turnpike_wire::media::{Phase, StreamState};

/// Events that wait for a stream to be read. When there are more the oldest goes: what follows says how it is now.
const EVENTS_MAX: usize = 64;
/// Of one session: a page has one, and another while it loads again.
pub(super) const STREAMS_MAX: usize = 4;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EventKind {
    Active,
    Inactive,
    Layers,
    ViewerCount,
    Reconnect,
}

impl EventKind {
    pub(super) const ALL: [Self; 5] =
        [Self::Active, Self::Inactive, Self::Layers, Self::ViewerCount, Self::Reconnect];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Inactive => "inactive",
            Self::Layers => "layers",
            Self::ViewerCount => "viewercount",
            Self::Reconnect => "reconnect",
        }
    }

    pub(super) fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Event {
    pub(super) kind: EventKind,
    /// One line of JSON.
    pub(super) data: String,
}

/// One event stream.
pub(super) struct Feed {
    wanted: Vec<EventKind>,
    queue: Mutex<Queue>,
    changed: Notify,
}

#[derive(Default)]
struct Queue {
    events: VecDeque<Event>,
    is_closed: bool,
}

impl Feed {
    fn push(&self, event: &Event) {
        if !self.wanted.contains(&event.kind) {
            return;
        }
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        if queue.events.len() >= EVENTS_MAX {
            queue.events.pop_front();
        }
        queue.events.push_back(event.clone());
        drop(queue);
        self.changed.notify_one();
    }

    fn close(&self) {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).is_closed = true;
        self.changed.notify_one();
    }

    /// None: there are no more.
    pub(super) async fn next(&self) -> Option<Event> {
        loop {
            {
                let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(event) = queue.events.pop_front() {
                    return Some(event);
                }
                if queue.is_closed {
                    return None;
                }
            }
            // What came since is remembered: this returns at once then.
            self.changed.notified().await;
        }
    }
}

/// The event streams of one session.
#[derive(Default)]
pub(super) struct Feeds {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    feeds: Vec<(u64, Arc<Feed>)>,
    /// The same value for all who are told the same.
    latest: Option<Arc<StreamState>>,
    /// Where the viewer was told to go.
    moves: Option<Event>,
    is_closed: bool,
}

impl Feeds {
    /// Another stream, which begins with how it is now. False: there are as many as there may be, or the session is over.
    pub(super) fn open(&self, id: u64, wanted: Vec<EventKind>) -> bool {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if inner.is_closed || inner.feeds.len() >= STREAMS_MAX {
            return false;
        }
        let feed = Arc::new(Feed { wanted, queue: Mutex::default(), changed: Notify::new() });
        if let Some(latest) = &inner.latest {
            for event in changes(None, latest) {
                feed.push(&event);
            }
        }
        if let Some(event) = &inner.moves {
            feed.push(event);
        }
        inner.feeds.push((id, feed));
        true
    }

    pub(super) fn get(&self, id: u64) -> Option<Arc<Feed>> {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.feeds.iter().find(|(known, _)| *known == id).map(|(_, feed)| Arc::clone(feed))
    }

    /// False: there is none of that name.
    pub(super) fn remove(&self, id: u64) -> bool {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(at) = inner.feeds.iter().position(|(known, _)| *known == id) else { return false };
        let (_, feed) = inner.feeds.remove(at);
        // What waits is not wanted any more, also by whoever reads it right now.
        feed.queue.lock().unwrap_or_else(PoisonError::into_inner).events.clear();
        feed.close();
        true
    }

    pub(super) fn tell(&self, state: Arc<StreamState>) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if !inner.feeds.is_empty() {
            for event in changes(inner.latest.as_deref(), &state) {
                inner.feeds.iter().for_each(|(_, feed)| feed.push(&event));
            }
        }
        inner.latest = Some(state);
    }

    /// The viewer is to begin a new session there, and then to end this one.
    pub(super) fn reconnect(&self, url: &str) {
        let data = serde_json::json!({ "url": url }).to_string();
        let event = Event { kind: EventKind::Reconnect, data };
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.feeds.iter().for_each(|(_, feed)| feed.push(&event));
        inner.moves = Some(event);
    }

    pub(super) fn close(&self) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.is_closed = true;
        inner.feeds.iter().for_each(|(_, feed)| feed.close());
    }
}

/// What is new about a stream.
fn changes(before: Option<&StreamState>, now: &StreamState) -> Vec<Event> {
    let mut events = Vec::new();
    let mut push = |kind, data| events.push(Event { kind, data });
    let (was_live, is_live) =
        (before.is_some_and(|before| before.phase == Phase::Live), now.phase == Phase::Live);
    if is_live && !was_live {
        push(EventKind::Active, "{}".to_owned());
    }
    // Never at first: somebody who comes to nothing is told so by 409.
    if was_live && !is_live {
        push(EventKind::Inactive, "{}".to_owned());
    }
    let layers_now = layers(now);
    if before.is_none_or(|before| layers(before) != layers_now) {
        push(EventKind::Layers, layers_now);
    }
    if before.is_none_or(|before| before.viewers != now.viewers) {
        push(EventKind::ViewerCount, format!("{{\"viewercount\":{}}}", now.viewers));
    }
    events
}

/// By mid, the layers of each track. One that does not come has no bit rate.
fn layers(state: &StreamState) -> String {
    let mut text = String::from("{");
    let mut between = "";
    for track in &state.tracks {
        let Some(mid) = &track.mid else { continue };
        // A mid is letters and digits, and what else a token has; none of it is escaped in JSON but by this.
        let _ = write!(text, "{between}{}:[", serde_json::json!(mid.as_str()));
        let mut comma = "";
        for layer in &track.layers {
            let bitrate = if layer.active { layer.bitrate } else { 0 };
            let rid = serde_json::json!(layer.rid.as_str());
            let _ = write!(text, "{comma}{{\"rid\":{rid},\"bitrate\":{bitrate}");
            if layer.width > 0 && layer.height > 0 {
                let _ = write!(text, ",\"width\":{},\"height\":{}", layer.width, layer.height);
            }
            text.push('}');
            comma = ",";
        }
        text.push(']');
        between = ",";
    }
    text.push('}');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(phase: Phase, viewers: u64) -> StreamState {
        StreamState { phase, viewers, ..StreamState::ended(None) }
    }

    fn kinds(events: &[Event]) -> Vec<&str> {
        events.iter().map(|event| event.kind.name()).collect()
    }

    #[test]
    fn s88_there_is_no_inactive_at_first() {
        assert_eq!(kinds(&changes(None, &state(Phase::Paused, 1))), ["layers", "viewercount"]);
        assert_eq!(kinds(&changes(None, &state(Phase::Live, 1))), ["active", "layers", "viewercount"]);
        let (live, paused) = (state(Phase::Live, 1), state(Phase::Paused, 1));
        assert_eq!(kinds(&changes(Some(&live), &paused)), ["inactive"]);
        assert_eq!(kinds(&changes(Some(&paused), &live)), ["active"]);
        assert!(changes(Some(&live), &live).is_empty());
    }

    #[test]
    fn s91_layers_by_section() {
        let track = r#"{"state":"live","viewers":2,"tracks":[{"mid":"1","kind":"video","user":"a","muted":false,"layers":[
            {"rid":"q","active":true,"bitrate":150000,"width":320,"height":180},
            {"rid":"f","active":false,"bitrate":9,"width":0,"height":0}]},{"kind":"audio","user":"a","muted":false}]}"#;
        let state: StreamState = serde_json::from_str(track).unwrap();
        assert_eq!(
            layers(&state),
            r#"{"1":[{"rid":"q","bitrate":150000,"width":320,"height":180},{"rid":"f","bitrate":0}]}"#
        );
    }

    #[test]
    fn s83_only_what_was_asked_for_waits_and_never_more_than_there_is_room_for() {
        let feeds = Feeds::default();
        assert!(feeds.open(1, vec![EventKind::ViewerCount]));
        for viewers in 0..1_000 {
            feeds.tell(Arc::new(state(Phase::Live, viewers)));
        }
        let feed = feeds.get(1).unwrap();
        let queue = feed.queue.lock().unwrap();
        assert_eq!(queue.events.len(), EVENTS_MAX);
        assert!(queue.events.iter().all(|event| event.kind == EventKind::ViewerCount));
        assert_eq!(queue.events.back().unwrap().data, "{\"viewercount\":999}");
    }

    #[test]
    fn s92_who_listens_late_is_told_as_well() {
        let feeds = Feeds::default();
        feeds.reconnect("/whep/live:a");
        assert!(feeds.open(1, vec![EventKind::Reconnect]));
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let event = runtime.block_on(feeds.get(1).unwrap().next()).unwrap();
        assert_eq!((event.kind, &*event.data), (EventKind::Reconnect, r#"{"url":"/whep/live:a"}"#));
    }

    #[test]
    fn s86_what_waits_goes_with_its_stream() {
        let feeds = Feeds::default();
        for id in 0..STREAMS_MAX as u64 {
            assert!(feeds.open(id, vec![EventKind::Active]));
        }
        assert!(!feeds.open(99, vec![EventKind::Active]), "there is a limit");
        feeds.tell(Arc::new(state(Phase::Live, 1)));
        let feed = feeds.get(2).unwrap();
        assert!(feeds.remove(2) && !feeds.remove(2) && feeds.get(2).is_none());
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        assert_eq!(runtime.block_on(feed.next()), None);
    }
}
