//! Asking all nodes the same, and answering them. A node that does not answer is named to whoever asked.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::Semaphore;
use turnpike_cluster::{Asked, Exchange, Letter, Node, Post, Terms};

use super::here;
use super::words::{Answer, Question};
use crate::app::App;

const SUBJECT: &str = "inspect";

const TERMS: Terms = Terms {
    again_after: Duration::from_millis(800),
    asked_times: 3,
    // A hundred nodes, asked by ten operators at once.
    waiting_max: 1_024,
    remembered_max: 0,
};

/// Questions of others that are answered at once; what comes beyond is not answered, and asked again.
const ANSWERING_MAX: usize = 8;

pub(super) struct Asking {
    exchange: Exchange<Question, Answer>,
    answering: Arc<Semaphore>,
}

impl Asking {
    pub(super) fn new(post: Arc<dyn Post>) -> Self {
        Self {
            exchange: Exchange::new(post, SUBJECT, TERMS),
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
    let Asking { exchange, answering } = &app.inspection.asking;
    let Some(Asked { question, asker }) = exchange.take(letter) else { return };
    let Ok(permit) = Arc::clone(answering).try_acquire_owned() else { return };
    let held = Arc::clone(app);
    app.spawn(async move {
        let answer = here::answer(&held, &question).await;
        held.inspection.asking.exchange.answer(asker, answer);
        drop(permit);
    });
}

/// Asks every node, this one included.
pub(super) async fn all(app: &Arc<App>, question: &Question) -> Vec<Heard> {
    let exchange = &app.inspection.asking.exchange;
    let own = app.cluster.membership.own();
    let nodes = app.cluster.membership.nodes().borrow().clone();
    let mut others: Vec<&Node> = nodes.iter().filter(|node| node.incarnation != own).collect();
    others.sort_by(|one, other| (&one.name, one.incarnation).cmp(&(&other.name, other.incarnation)));
    let asked = others.into_iter().map(|node| async {
        let answer = exchange.ask(node.incarnation, question).await;
        Heard { name: node.name.clone(), answer }
    });
    let (here, others) = tokio::join!(here::answer(app, question), join_all(asked));
    let mut heard = vec![Heard { name: app.node.clone(), answer: Some(here) }];
    heard.extend(others);
    heard
}
