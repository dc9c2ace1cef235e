//! What goes into one request: what is there, and what comes within a moment.

use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::time::Duration;

use tokio::sync::mpsc::Receiver;
use tokio::time::{Instant, timeout_at};

use super::debt::Debt;
use super::event::Event;

const EVENTS_MAX: usize = 100;
/// How long the first event waits for others.
const LINGER: Duration = Duration::from_millis(100);

pub(super) enum Queued {
    Event {
        event: Arc<Event>,
        at: Instant,
        /// Who wants to know when it is done with.
        debt: Option<Arc<Debt>>,
    },
    /// Whoever waits is told when everything before this is done with.
    Flush(SyncSender<()>),
}

pub(super) struct Batch {
    pub(super) events: Vec<Arc<Event>>,
    pub(super) debts: Vec<Arc<Debt>>,
    /// When the first of them happened.
    pub(super) since: Instant,
    pub(super) flush: Option<SyncSender<()>>,
}

impl Batch {
    /// `None`: nothing will come any more.
    pub(super) async fn next(queue: &mut Receiver<Queued>) -> Option<Self> {
        let mut batch = match queue.recv().await? {
            Queued::Event { event, at, debt } => {
                Self { events: vec![event], debts: debt.into_iter().collect(), since: at, flush: None }
            }
            Queued::Flush(done) => {
                Self { events: Vec::new(), debts: Vec::new(), since: Instant::now(), flush: Some(done) }
            }
        };
        let until = Instant::now() + LINGER;
        while batch.events.len() < EVENTS_MAX && batch.flush.is_none() {
            match timeout_at(until, queue.recv()).await {
                Ok(Some(Queued::Event { event, debt, .. })) => {
                    batch.events.push(event);
                    batch.debts.extend(debt);
                }
                Ok(Some(Queued::Flush(done))) => batch.flush = Some(done),
                Ok(None) | Err(_) => break,
            }
        }
        Some(batch)
    }
}

#[cfg(test)]
mod tests {
    use turnpike_wire::UserId;

    use super::super::event::What;
    use super::*;

    fn event(number: usize) -> Queued {
        let what = What::Opened { connection: "c".to_owned(), recovered: false };
        let event = Event {
            id: number.to_string(),
            name: what.kind().name(),
            time: 0,
            node: "n".to_owned(),
            user: Some(UserId::parse("u").unwrap()),
            what,
        };
        Queued::Event { event: Arc::new(event), at: Instant::now(), debt: None }
    }

    fn ids(batch: &Batch) -> Vec<usize> {
        batch.events.iter().map(|event| event.id.parse().unwrap()).collect()
    }

    #[tokio::test]
    async fn batches_have_at_most_a_hundred_events_in_order_and_a_flush_ends_one() {
        let (send, mut queue) = tokio::sync::mpsc::channel(1_000);
        for number in 0..250 {
            send.send(event(number)).await.unwrap();
        }
        let (done, _waited) = std::sync::mpsc::sync_channel(1);
        send.send(Queued::Flush(done)).await.unwrap();
        send.send(event(250)).await.unwrap();
        drop(send);
        let mut batches = Vec::new();
        while let Some(batch) = Batch::next(&mut queue).await {
            batches.push((ids(&batch), batch.flush.is_some()));
        }
        let expected = [(0..100, false), (100..200, false), (200..250, true), (250..251, false)];
        assert_eq!(batches, expected.map(|(ids, flush)| (ids.collect::<Vec<_>>(), flush)));
    }

    #[tokio::test]
    async fn an_event_does_not_wait_for_ever_for_others() {
        let (send, mut queue) = tokio::sync::mpsc::channel(10);
        send.send(event(7)).await.unwrap();
        let batch = Batch::next(&mut queue).await.unwrap();
        assert_eq!(ids(&batch), [7]);
        drop(send);
    }
}
