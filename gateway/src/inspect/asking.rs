//! Asking all nodes the same, and answering them. A letter may be lost, so what is not answered is asked once more; a node
//! that does not answer within the deadline is named to whoever asked.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::{Semaphore, oneshot};
use tokio::time::timeout;
use turnpike_cluster::{Incarnation, Letter, Node};

use super::here;
use super::words::{Answer, Question, Words};
use crate::app::App;

const SUBJECT: &str = "inspect";

/// Until something is asked for the second time, and until it is given up.
const AGAIN_AFTER: Duration = Duration::from_millis(800);
const ASKED_TIMES: u32 = 3;

/// Questions of others that are answered at once; what comes beyond is not answered, and asked again.
const ANSWERING_MAX: usize = 8;
/// Answers that are waited for: a hundred nodes, asked by ten operators at once.
const WAITING_MAX: usize = 1_024;

pub(super) struct Asking {
    drawn: AtomicU64,
    waiting: Mutex<HashMap<u64, (Incarnation, oneshot::Sender<Answer>)>>,
    answering: Arc<Semaphore>,
}

impl Default for Asking {
    fn default() -> Self {
        Self {
            drawn: AtomicU64::new(0),
            waiting: Mutex::default(),
            answering: Arc::new(Semaphore::new(ANSWERING_MAX)),
        }
    }
}

/// What a node said. None: it did not answer.
pub(super) struct Heard {
    pub(super) name: String,
    pub(super) answer: Option<Answer>,
}

/// From here on other nodes are answered.
pub(crate) fn listen(app: &Arc<App>) {
    app.hear(SUBJECT, take);
}

fn take(app: &Arc<App>, letter: &Letter) {
    match serde_json::from_slice(&letter.words) {
        Ok(Words::Ask { id, question }) => {
            let answering = Arc::clone(&app.inspection.asking.answering);
            let Ok(permit) = answering.try_acquire_owned() else { return };
            let (held, from) = (Arc::clone(app), letter.from);
            app.spawn(async move {
                let answer = Box::new(here::answer(&held, &question).await);
                write(&held, from, &Words::Answer { id, answer });
                drop(permit);
            });
        }
        Ok(Words::Answer { id, answer }) => {
            let mut waiting = app.inspection.asking.waiting();
            if waiting.get(&id).is_some_and(|(asked, _)| *asked == letter.from)
                && let Some((_, reply)) = waiting.remove(&id)
            {
                // Whoever waited may have gone.
                let _ = reply.send(*answer);
            }
        }
        Err(error) => {
            let from = letter.from;
            tracing::debug!(%from, %error, "what a node asks for an operator is not understood");
        }
    }
}

/// Lost letters are counted by the post.
fn write(app: &App, to: Incarnation, words: &Words) {
    let text = serde_json::to_vec(words).expect("words are made of what JSON has");
    let _ = app.cluster.post.send(to, SUBJECT, text.into());
}

impl Asking {
    fn waiting(&self) -> MutexGuard<'_, HashMap<u64, (Incarnation, oneshot::Sender<Answer>)>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whoever waits no more leaves nothing behind.
struct Waiting<'a>(&'a Asking, u64);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting().remove(&self.1);
    }
}

/// Asks every node, this one included.
pub(super) async fn all(app: &Arc<App>, question: &Question) -> Vec<Heard> {
    let own = app.cluster.membership.own();
    let nodes = app.cluster.membership.nodes().borrow().clone();
    let mut others: Vec<&Node> = nodes.iter().filter(|node| node.incarnation != own).collect();
    others.sort_by(|one, other| (&one.name, one.incarnation).cmp(&(&other.name, other.incarnation)));
    let asked = others.into_iter().map(|node| async {
        let answer = one(app, node.incarnation, question).await;
        Heard { name: node.name.clone(), answer }
    });
    let (here, others) = tokio::join!(here::answer(app, question), join_all(asked));
    let mut heard = vec![Heard { name: app.node.clone(), answer: Some(here) }];
    heard.extend(others);
    heard
}

async fn one(app: &Arc<App>, node: Incarnation, question: &Question) -> Option<Answer> {
    let asking = &app.inspection.asking;
    let id = asking.drawn.fetch_add(1, Ordering::Relaxed);
    let (reply, mut answer) = oneshot::channel();
    {
        let mut waiting = asking.waiting();
        if waiting.len() >= WAITING_MAX {
            return None;
        }
        waiting.insert(id, (node, reply));
    }
    let _waiting = Waiting(asking, id);
    let words = Words::Ask { id, question: question.clone() };
    for _ in 0..ASKED_TIMES {
        write(app, node, &words);
        if let Ok(answered) = timeout(AGAIN_AFTER, &mut answer).await {
            return answered.ok();
        }
    }
    None
}
