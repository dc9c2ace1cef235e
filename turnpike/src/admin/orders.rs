//! What an operator asks of another node: told to it by letter, written down and done there, once.
//!
//! Who may ask was found out by the node that was asked; that letters are from nodes of this cluster is for the post.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use turnpike_audit::Object;
use turnpike_cluster::{Asked, Cluster, Exchange, Letters, Terms};
use turnpike_daemon::tasks::Stop;
use turnpike_gateway::audited::{self, Action, By};
use turnpike_guard::Role;
use turnpike_wire::Code;

use super::desk::Desk;
use super::{drain, operation};

const SUBJECT: &str = "orders";
const TERMS: Terms =
    Terms { again_after: Duration::from_millis(800), asked_times: 4, waiting_max: 64, remembered_max: 64 };

/// What goes from one node to the other.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Wish {
    pub(super) order: Order,
    pub(super) from: Operator,
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

pub(super) type Orders = Exchange<Wish, Said>;

pub(super) fn of(cluster: &Cluster) -> Orders {
    Exchange::new(Arc::clone(&cluster.post), SUBJECT, TERMS)
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
        let Some(letter) = letter else { return };
        let Some(Asked { question, asker }) = desk.orders.take(&letter) else { continue };
        let said = carry_out(&desk, &question).await;
        desk.orders.answer(asker, said);
    }
}

/// Written down as if it had been asked of this node itself: the operator, before it is done and after.
async fn carry_out(desk: &Arc<Desk>, Wish { order, from: operator }: &Wish) -> Said {
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
    if audited::admin_intent(&desk.audit, by, action).await.is_err() {
        return Said::NotWritten;
    }
    let done = match order {
        Order::Drain => drain::leave(desk),
    };
    let result = if done { Ok(()) } else { Err(Code::LimitReached.slug()) };
    if audited::admin_result(&desk.audit, by, action, result).await.is_err() {
        // It is done, and its intent says so.
        tracing::warn!(request = %operator.request, "what came of an order could not be written into the audit log");
    }
    if done { Said::Done } else { Said::LeavingAlready }
}
