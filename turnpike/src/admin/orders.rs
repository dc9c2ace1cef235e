//! What an operator asks of another node: told to it by letter, written down and done there. A letter may be lost, so it is told
//! again under the same number, and the other node does it once.
//!
//! Who may ask was found out by the node that was asked; that letters are from nodes of this cluster is for the post.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;
use tokio::time::timeout;
use turnpike_audit::Object;
use turnpike_cluster::{Incarnation, Letter, Letters};
use turnpike_daemon::tasks::Stop;
use turnpike_gateway::audited::{self, Action, By};
use turnpike_guard::Role;
use turnpike_wire::Code;

use super::desk::Desk;
use super::{drain, operation};

const SUBJECT: &str = "orders";
/// Until it is told once more, and until it is given up.
const AGAIN_AFTER: Duration = Duration::from_millis(800);
const TOLD_TIMES: u32 = 4;
/// Orders whose answers are waited for. Beyond that nobody is told.
const WAITING_MAX: usize = 64;

#[derive(Debug, Clone, Serialize, Deserialize)]
enum Words {
    Order { id: u64, order: Order, from: Operator },
    Answer { id: u64, said: Said },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Order {
    Drain,
}

/// Who wants it, as the audit log is to name them.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Operator {
    pub(super) user: String,
    pub(super) token: Option<String>,
    pub(super) address: IpAddr,
    pub(super) agent: Option<String>,
    pub(super) request: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Said {
    Done,
    LeavingAlready,
    /// Its audit log cannot be written.
    NotWritten,
}

#[derive(Default)]
pub(super) struct Orders {
    drawn: AtomicU64,
    waiting: Mutex<HashMap<u64, (Incarnation, oneshot::Sender<Said>)>>,
    /// The last that was carried out here: told again, it is answered again.
    carried_out: Mutex<Option<(Incarnation, u64, Said)>>,
}

impl Orders {
    /// Each change leaves it whole.
    fn waiting(&self) -> MutexGuard<'_, HashMap<u64, (Incarnation, oneshot::Sender<Said>)>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn carried_out(&self) -> MutexGuard<'_, Option<(Incarnation, u64, Said)>> {
        self.carried_out.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whoever waits no more leaves nothing behind.
struct Waiting<'a>(&'a Orders, u64);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting().remove(&self.1);
    }
}

/// What the node said. None: it did not answer.
pub(super) async fn tell(desk: &Desk, node: Incarnation, order: Order, from: Operator) -> Option<Said> {
    let orders = &desk.orders;
    let id = orders.drawn.fetch_add(1, Ordering::Relaxed);
    let (reply, mut answer) = oneshot::channel();
    {
        let mut waiting = orders.waiting();
        if waiting.len() >= WAITING_MAX {
            return None;
        }
        waiting.insert(id, (node, reply));
    }
    let _waiting = Waiting(orders, id);
    let words = Words::Order { id, order, from };
    for _ in 0..TOLD_TIMES {
        write(desk, node, &words);
        if let Ok(said) = timeout(AGAIN_AFTER, &mut answer).await {
            return said.ok();
        }
    }
    None
}

/// Lost letters are counted by the post.
fn write(desk: &Desk, to: Incarnation, words: &Words) {
    let text = serde_json::to_vec(words).expect("words are made of what JSON has");
    let _ = desk.parts.cluster.post.send(to, SUBJECT, text.into());
}

pub(super) fn listen(desk: &Desk) -> Letters {
    desk.parts.cluster.post.listen(SUBJECT)
}

/// One after the other: nobody gives many orders.
pub(super) async fn keep(desk: Arc<Desk>, mut letters: Letters, mut stop: Stop) {
    loop {
        let letter = tokio::select! {
            letter = letters.recv() => letter,
            () = stop.requested() => return,
        };
        let Some(Letter { from, words }) = letter else { return };
        match serde_json::from_slice(&words) {
            Ok(Words::Order { id, order, from: operator }) => {
                let said = carry_out(&desk, from, id, order, &operator).await;
                write(&desk, from, &Words::Answer { id, said });
            }
            Ok(Words::Answer { id, said }) => {
                let mut waiting = desk.orders.waiting();
                if waiting.get(&id).is_some_and(|(told, _)| *told == from)
                    && let Some((_, reply)) = waiting.remove(&id)
                {
                    // Whoever waited may have gone.
                    let _ = reply.send(said);
                }
            }
            Err(error) => {
                tracing::debug!(%from, %error, "what a node asks for an operator is not understood");
            }
        }
    }
}

/// Written down as if it had been asked of this node itself: the operator, before it is done and after.
async fn carry_out(desk: &Arc<Desk>, node: Incarnation, id: u64, order: Order, operator: &Operator) -> Said {
    let known = desk.orders.carried_out().filter(|(from, known, _)| (*from, *known) == (node, id));
    if let Some((_, _, said)) = known {
        return said;
    }
    let by = By {
        user: Some(&operator.user),
        role: Some(Role::Admin),
        key: operator.token.as_deref(),
        agent: operator.agent.as_deref(),
        transport: Some("admin"),
        request: Some(&operator.request),
        ..By::address(operator.address)
    };
    let operation::Operation { method, path, .. } = match order {
        Order::Drain => drain::OF_NODE,
    };
    let object = Some((Object::Node, desk.parts.node.as_str()));
    let action = Action { method: method.name(), route: path, object };
    let said = if audited::admin_intent(&desk.audit, by, action).await.is_err() {
        Said::NotWritten
    } else {
        let done = match order {
            Order::Drain => drain::leave(desk),
        };
        let result = if done { Ok(()) } else { Err(Code::LimitReached.slug()) };
        if audited::admin_result(&desk.audit, by, action, result).await.is_err() {
            // It is done, and its intent says so.
            tracing::warn!(request = %operator.request, "what came of an order could not be written into the audit log");
        }
        if done { Said::Done } else { Said::LeavingAlready }
    };
    *desk.orders.carried_out() = Some((node, id, said));
    said
}
