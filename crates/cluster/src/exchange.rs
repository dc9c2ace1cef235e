//! Asking another node something, and answering it. Letters are lost now and then, so what is not answered is asked again under
//! the same number, by which whoever was asked knows what it has done already.

use std::collections::{HashMap, VecDeque};
use std::marker::PhantomData;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;
use tokio::time::timeout;
use tracing::debug;

use crate::{Incarnation, Letter, Post};

/// How much is asked, and how often.
#[derive(Debug, Clone, Copy)]
pub struct Terms {
    /// Until something is asked once more, or is given up.
    pub again_after: Duration,
    pub asked_times: u32,
    /// Answers that are waited for at the same time. Beyond that nobody is asked.
    pub waiting_max: usize,
    /// The last answers that were given, which are given again to whoever asks again. 0: answering changes nothing.
    pub remembered_max: usize,
}

/// Questions and answers of one subject; its letters are to be listened for, and given to [`Exchange::take`].
pub struct Exchange<Q, A> {
    post: Arc<dyn Post>,
    subject: &'static str,
    terms: Terms,
    drawn: AtomicU64,
    waiting: Mutex<HashMap<u64, (Incarnation, oneshot::Sender<A>)>>,
    remembered: Mutex<VecDeque<(Asker, A)>>,
    asks: PhantomData<fn(Q)>,
}

/// What another node wants to know.
#[derive(Debug)]
pub struct Asked<Q> {
    pub question: Q,
    pub asker: Asker,
}

/// To whom an answer goes, and to which of their questions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asker {
    node: Incarnation,
    id: u64,
}

#[derive(Serialize, Deserialize)]
enum Words<Q, A> {
    Ask { id: u64, question: Q },
    Answer { id: u64, answer: A },
}

impl<Q, A> Exchange<Q, A>
where
    Q: Serialize + DeserializeOwned,
    A: Clone + Serialize + DeserializeOwned,
{
    pub fn new(post: Arc<dyn Post>, subject: &'static str, terms: Terms) -> Self {
        Self {
            post,
            subject,
            terms,
            drawn: AtomicU64::new(0),
            waiting: Mutex::default(),
            remembered: Mutex::default(),
            asks: PhantomData,
        }
    }

    /// What the node answers. None: it does not, or too much is asked already. Whoever gives it up may drop it.
    pub async fn ask(&self, node: Incarnation, question: &Q) -> Option<A> {
        let id = self.drawn.fetch_add(1, Ordering::Relaxed);
        let (reply, mut answer) = oneshot::channel();
        {
            let mut waiting = self.waiting();
            if waiting.len() >= self.terms.waiting_max {
                return None;
            }
            waiting.insert(id, (node, reply));
        }
        let _waiting = Waiting { exchange: self, id };
        let words = written(&Words::<&Q, &A>::Ask { id, question });
        for _ in 0..self.terms.asked_times {
            self.send(node, words.clone());
            if let Ok(answered) = timeout(self.terms.again_after, &mut answer).await {
                return answered.ok();
            }
        }
        None
    }

    /// Gives what is a question, unless it was answered before. Who answers one letter before they take the next answers each
    /// question once.
    pub fn take(&self, letter: &Letter) -> Option<Asked<Q>> {
        let from = letter.from;
        match serde_json::from_slice::<Words<Q, A>>(&letter.words) {
            Ok(Words::Ask { id, question }) => {
                let asker = Asker { node: from, id };
                let Some(answer) = self.answered(asker) else { return Some(Asked { question, asker }) };
                self.tell(asker, &answer);
            }
            Ok(Words::Answer { id, answer }) => {
                let mut waiting = self.waiting();
                if waiting.get(&id).is_some_and(|(asked, _)| *asked == from)
                    && let Some((_, reply)) = waiting.remove(&id)
                {
                    // Whoever waited may have gone.
                    let _ = reply.send(answer);
                }
            }
            // It is of another version: whoever asks is not answered, and finds out by that.
            Err(error) => debug!(subject = self.subject, %from, %error, "a letter is not understood"),
        }
        None
    }

    pub fn answer(&self, asker: Asker, answer: A) {
        self.tell(asker, &answer);
        if self.terms.remembered_max > 0 {
            let mut remembered = self.remembered();
            if remembered.len() >= self.terms.remembered_max {
                remembered.pop_front();
            }
            remembered.push_back((asker, answer));
        }
    }

    fn answered(&self, asker: Asker) -> Option<A> {
        self.remembered().iter().find(|(known, _)| *known == asker).map(|(_, answer)| answer.clone())
    }

    fn tell(&self, Asker { node, id }: Asker, answer: &A) {
        self.send(node, written(&Words::<&Q, &A>::Answer { id, answer }));
    }

    /// Lost letters are counted by the post.
    fn send(&self, to: Incarnation, words: Bytes) {
        let _ = self.post.send(to, self.subject, words);
    }
}

impl<Q, A> Exchange<Q, A> {
    /// Each change leaves it whole.
    fn waiting(&self) -> MutexGuard<'_, HashMap<u64, (Incarnation, oneshot::Sender<A>)>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn remembered(&self) -> MutexGuard<'_, VecDeque<(Asker, A)>> {
        self.remembered.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn written(words: &impl Serialize) -> Bytes {
    serde_json::to_vec(words).expect("words are made of what JSON has").into()
}

/// Whoever waits no more leaves nothing behind.
struct Waiting<'a, Q, A> {
    exchange: &'a Exchange<Q, A>,
    id: u64,
}

impl<Q, A> Drop for Waiting<'_, Q, A> {
    fn drop(&mut self) {
        self.exchange.waiting().remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;
    use crate::letterboxes::Letterboxes;
    use crate::{Letters, NotSent};

    const SUBJECT: &str = "sums";
    const TERMS: Terms =
        Terms { again_after: Duration::from_secs(1), asked_times: 3, waiting_max: 2, remembered_max: 2 };

    type Sums = Exchange<u64, u64>;

    /// The post of a node of three. Of its letters those are lost whose bit is set, the lowest being the first.
    struct Lossy {
        own: Incarnation,
        boxes: Arc<[Letterboxes; 3]>,
        lost: u64,
        sent: AtomicU64,
    }

    impl Post for Lossy {
        fn send(&self, to: Incarnation, subject: &'static str, words: Bytes) -> Result<(), NotSent> {
            let nth = self.sent.fetch_add(1, Ordering::Relaxed);
            if self.lost.checked_shr(nth as u32).is_none_or(|lost| lost & 1 == 0) {
                self.boxes[to.0 as usize].put(subject, Letter { from: self.own, words });
            }
            Ok(())
        }

        fn listen(&self, subject: &'static str) -> Letters {
            self.boxes[self.own.0 as usize].open(subject)
        }

        fn lost(&self) -> u64 {
            0
        }
    }

    struct Person {
        sums: Arc<Sums>,
        letters: Letters,
    }

    fn three(lost: [u64; 3]) -> [Person; 3] {
        let boxes = Arc::<[Letterboxes; 3]>::default();
        [0, 1, 2].map(|number: u64| {
            let (own, boxes) = (Incarnation(number), Arc::clone(&boxes));
            let post = Lossy { own, boxes, lost: lost[number as usize], sent: AtomicU64::new(0) };
            let letters = post.listen(SUBJECT);
            Person { sums: Arc::new(Exchange::new(Arc::new(post), SUBJECT, TERMS)), letters }
        })
    }

    impl Person {
        /// From here on it takes what comes, and adds one to what it is asked. Gives how often it has.
        fn answers(mut self) -> Arc<AtomicU64> {
            let done = Arc::new(AtomicU64::new(0));
            let count = Arc::clone(&done);
            tokio::spawn(async move {
                while let Some(letter) = self.letters.recv().await {
                    if let Some(Asked { question, asker }) = self.sums.take(&letter) {
                        count.fetch_add(1, Ordering::Relaxed);
                        self.sums.answer(asker, question + 1);
                    }
                }
            });
            done
        }
    }

    #[tokio::test(start_paused = true)]
    async fn whatever_is_lost_it_is_done_once_and_answered_as_soon_as_it_can_be() {
        for (questions, answers) in (0..8_u64).flat_map(|one| (0..8_u64).map(move |other| (one, other))) {
            let [asks, is_asked, _] = three([questions, answers, 0]);
            let sums = Arc::clone(&asks.sums);
            asks.answers();
            let done = is_asked.answers();
            // The n-th question to arrive is answered with the n-th answer.
            let arrived: Vec<u64> = (0..3).filter(|nth| questions >> nth & 1 == 0).collect();
            let answered = arrived.iter().enumerate().find(|(nth, _)| answers >> nth & 1 == 0);
            let expected = answered.map_or((None, 3), |(_, round)| (Some(42), *round));

            let begun = Instant::now();
            let answer = sums.ask(Incarnation(1), &41).await;
            assert_eq!((answer, begun.elapsed().as_secs()), expected, "{questions:b} {answers:b}");
            assert_eq!(done.load(Ordering::Relaxed), u64::from(!arrived.is_empty()));
            assert!(sums.waiting().is_empty());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_gives_up_leaves_room_for_others() {
        let [asks, is_asked, _] = three([0; 3]);
        let sums = Arc::clone(&asks.sums);
        asks.answers();
        let (one, other) = (sums.ask(Incarnation(2), &1), sums.ask(Incarnation(2), &2));
        let third = async {
            tokio::time::sleep(Duration::from_millis(1)).await;
            let refused = sums.ask(Incarnation(1), &3).await;
            is_asked.answers();
            refused
        };
        // With the third all are dropped.
        tokio::select! {
            biased;
            _ = one => panic!("nobody answers"),
            _ = other => panic!("nobody answers"),
            refused = third => assert_eq!(refused, None),
        }
        assert!(sums.waiting().is_empty());
        assert_eq!(sums.ask(Incarnation(1), &3).await, Some(4));
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_counts_from_whom_was_asked_alone_and_once() {
        let [asks, mut is_asked, meddles] = three([0; 3]);
        let sums = Arc::clone(&asks.sums);
        asks.answers();
        let asking = sums.ask(Incarnation(1), &41);
        let others = async {
            let Asked { asker, .. } = is_asked.sums.take(&is_asked.letters.recv().await.unwrap()).unwrap();
            meddles.sums.answer(asker, 666);
            meddles.sums.send(Incarnation(0), Bytes::from_static(b"no words"));
            tokio::time::sleep(Duration::from_millis(1)).await;
            is_asked.sums.answer(asker, 42);
            is_asked.sums.answer(asker, 43);
        };
        assert_eq!(tokio::join!(asking, others).0, Some(42));
    }

    #[tokio::test(start_paused = true)]
    async fn the_last_answers_are_remembered() {
        let [asks, mut is_asked, _] = three([0; 3]);
        for question in 0..3 {
            let words = written(&Words::<u64, u64>::Ask { id: question, question });
            asks.sums.send(Incarnation(1), words);
            let Asked { question, asker } =
                is_asked.sums.take(&is_asked.letters.recv().await.unwrap()).unwrap();
            is_asked.sums.answer(asker, question);
        }
        let again = |id: u64| Letter {
            from: Incarnation(0),
            words: written(&Words::<u64, u64>::Ask { id, question: 0 }),
        };
        assert!(is_asked.sums.take(&again(0)).is_some(), "it was forgotten for those that came later");
        assert!(is_asked.sums.take(&again(1)).is_none() && is_asked.sums.take(&again(2)).is_none());
        let other = Letter { from: Incarnation(2), ..again(2) };
        assert!(is_asked.sums.take(&other).is_some(), "another node has numbers of its own");
    }
}
