//! Which work is traced, and the queue to whoever tells the collector.

use std::cell::Cell;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::context::spread;
use crate::span::TEXT_BYTES_MAX;
use crate::{Kind, Span, TraceContext, Value};

/// Cheap to clone. The default traces nothing.
#[derive(Debug, Clone, Default)]
pub struct Tracer(Option<Arc<Shared>>);

#[derive(Debug)]
struct Shared {
    /// A trace is kept if the lower half of its id is below this.
    below: u64,
    /// When it is full a span is dropped and counted.
    queue: SyncSender<Span>,
    dropped: AtomicU64,
    ended: AtomicU64,
}

/// The other end.
#[derive(Debug)]
pub struct Queue(pub Receiver<Span>);

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Spans that ended.
    pub ended: u64,
    /// Of these, those that found the queue full.
    pub dropped: u64,
}

impl Tracer {
    /// Keeps so many of the traces that begin here, from none (0) to all (1). A trace that began elsewhere is kept if whoever
    /// began it said so.
    pub fn new(ratio: f64, queue_max: usize) -> (Self, Queue) {
        let (queue, receiver) = sync_channel(queue_max.max(1));
        // As a float, all of them are one more than there are.
        let below = (ratio.clamp(0.0, 1.0) * u64::MAX as f64) as u64;
        let shared = Shared { below, queue, dropped: AtomicU64::new(0), ended: AtomicU64::new(0) };
        (Self(Some(Arc::new(shared))), Queue(receiver))
    }

    pub fn counts(&self) -> Counts {
        self.0.as_ref().map_or_else(Counts::default, |shared| Counts {
            ended: shared.ended.load(Ordering::Relaxed),
            dropped: shared.dropped.load(Ordering::Relaxed),
        })
    }

    /// Work that begins now: a part of what `cause` is, or, without one, a trace of its own.
    pub fn begin(&self, name: &'static str, kind: Kind, cause: Option<TraceContext>) -> Active {
        let Some(shared) = &self.0 else { return Active(None) };
        let trace = cause
            .map_or_else(|| u128::from(random()) << 64 | u128::from(random()).max(1), |cause| cause.trace);
        if !cause.map_or_else(|| shared.keeps(trace), |cause| cause.sampled) {
            return Active(None);
        }
        Active::new(shared, trace, cause.map(|cause| cause.span), name, kind, now_ns())
    }

    /// Work of a message (its room, when it was published, its number) that began at `begun_ms` (since 1970), in the trace
    /// that the message has on all nodes.
    pub fn of_message(
        &self,
        name: &'static str,
        kind: Kind,
        message: (&str, u64, u64),
        begun_ms: u64,
    ) -> Active {
        let Some(shared) = &self.0 else { return Active(None) };
        let trace = TraceContext::trace_of_message(message.0, message.1, message.2);
        if !shared.keeps(trace) {
            return Active(None);
        }
        // Clocks differ from node to node: nothing ends before it began.
        let begun_ns = begun_ms.saturating_mul(1_000_000).min(now_ns());
        Active::new(shared, trace, None, name, kind, begun_ns)
    }
}

impl Shared {
    fn keeps(&self, trace: u128) -> bool {
        self.below == u64::MAX || (trace as u64) < self.below
    }

    fn send(&self, span: Span) {
        self.ended.fetch_add(1, Ordering::Relaxed);
        if self.queue.try_send(span).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Work under way; it ends when this is dropped. Nothing, if it is not traced.
#[derive(Debug)]
pub struct Active(Option<Box<Begun>>);

#[derive(Debug)]
struct Begun {
    span: Span,
    since: Instant,
    /// When that was.
    since_ns: u64,
    shared: Arc<Shared>,
}

impl Active {
    fn new(
        shared: &Arc<Shared>,
        trace: u128,
        parent: Option<u64>,
        name: &'static str,
        kind: Kind,
        begun_ns: u64,
    ) -> Self {
        let context = TraceContext { trace, span: random().max(1), sampled: true };
        let (attributes, links) = (Vec::new(), Vec::new());
        let span = Span {
            context,
            parent,
            name,
            kind,
            begun_ns,
            ended_ns: begun_ns,
            attributes,
            links,
            failure: None,
        };
        Self(Some(Box::new(Begun {
            span,
            since: Instant::now(),
            since_ns: now_ns(),
            shared: Arc::clone(shared),
        })))
    }

    /// For what this causes. None: it is not traced.
    pub fn context(&self) -> Option<TraceContext> {
        self.0.as_ref().map(|begun| begun.span.context)
    }

    pub fn attribute(&mut self, name: &'static str, value: impl Into<Value>) -> &mut Self {
        if let Some(begun) = &mut self.0 {
            let mut value = value.into();
            if let Value::Text(text) = &mut value {
                text.truncate(text.floor_char_boundary(TEXT_BYTES_MAX));
            }
            begun.span.attributes.push((name, value));
        }
        self
    }

    pub fn link(&mut self, other: Option<TraceContext>) -> &mut Self {
        if let Some(begun) = &mut self.0 {
            begun.span.links.extend(other);
        }
        self
    }

    pub fn fail(&mut self, why: &'static str) {
        if let Some(begun) = &mut self.0 {
            begun.span.failure = Some(why);
        }
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        if let Some(begun) = self.0.take() {
            let Begun { mut span, since, since_ns, shared } = *begun;
            let lasted_ns = u64::try_from(since.elapsed().as_nanos()).unwrap_or(u64::MAX);
            span.ended_ns = since_ns.saturating_add(lasted_ns).max(span.begun_ns);
            shared.send(span);
        }
    }
}

fn now_ns() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_nanos()).unwrap_or(u64::MAX)
}

/// Ids need not be secret, only different: a counter in each thread, spread from where the operating system's random numbers
/// have put it.
fn random() -> u64 {
    thread_local! {
        static NEXT: Cell<u64> = Cell::new(RandomState::new().hash_one(0_u8));
    }
    NEXT.with(|next| {
        let number = next.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
        next.set(number);
        spread(number)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_without_a_collector_is_not_traced() {
        let tracer = Tracer::default();
        let mut span = tracer.begin("work", Kind::Server, None);
        span.attribute("a", 1).fail("b");
        assert_eq!(span.context(), None);
        drop(span);
        assert_eq!(tracer.counts(), Counts::default());
    }

    #[test]
    fn a_part_belongs_to_its_cause_and_is_kept_if_that_is() {
        let (tracer, queue) = Tracer::new(0.0, 8);
        let cause = TraceContext { trace: 7, span: 9, sampled: true };
        drop(tracer.begin("part", Kind::Server, Some(cause)));
        drop(tracer.begin("part", Kind::Server, Some(TraceContext { sampled: false, ..cause })));
        drop(tracer.begin("of its own", Kind::Server, None));
        let spans: Vec<Span> = queue.0.try_iter().collect();
        assert_eq!(spans.len(), 1);
        assert_eq!((spans[0].context.trace, spans[0].parent), (7, Some(9)));
        assert!(spans[0].ended_ns >= spans[0].begun_ns);
    }

    #[test]
    fn all_nodes_keep_the_same_messages() {
        let kept = |node: &(Tracer, Queue)| {
            for seq in 0..2_000 {
                drop(node.0.of_message("deliver", Kind::Consumer, ("chat:1", 3, seq), 0));
            }
            node.1.0.try_iter().map(|span| span.context.trace).collect::<Vec<_>>()
        };
        let (one, other) = (Tracer::new(0.25, 4_096), Tracer::new(0.25, 4_096));
        let (of_one, of_other) = (kept(&one), kept(&other));
        assert_eq!(of_one, of_other);
        assert!((400..600).contains(&of_one.len()), "{}", of_one.len());
    }

    #[test]
    fn what_finds_the_queue_full_is_dropped_and_counted() {
        let (tracer, queue) = Tracer::new(1.0, 4);
        for _ in 0..10 {
            drop(tracer.begin("work", Kind::Server, None));
        }
        assert_eq!(tracer.counts(), Counts { ended: 10, dropped: 6 });
        drop(queue);
        drop(tracer.begin("nobody is there", Kind::Server, None));
        assert_eq!(tracer.counts(), Counts { ended: 11, dropped: 7 });
    }

    #[test]
    fn a_text_that_somebody_chose_is_cut() {
        let (tracer, queue) = Tracer::new(1.0, 4);
        tracer.begin("work", Kind::Server, None).attribute("room", "é".repeat(1_000).as_str());
        let span = queue.0.try_recv().unwrap();
        assert_eq!(span.attributes, [("room", Value::Text("é".repeat(TEXT_BYTES_MAX / 2)))]);
    }
}
