//! Words for other hosts that ask for them: kept until they do, the newest of a kind in place of an older one.

use std::time::Duration;

use tokio::time::Instant;
use uuid::Uuid;

use super::super::control::{Answer, Asker, Response};
use crate::domain::State;
use crate::domain::relocation::words;
use crate::migration::message::Message;

/// Most words that wait for one host.
const WORDS_MAX: usize = 16;

#[derive(Debug, Default)]
pub(super) struct Post {
    words: Vec<(Uuid, Message)>,
    waiting: Vec<(Uuid, Instant, Asker)>,
}

impl Post {
    pub(super) fn put(&mut self, to: Uuid, message: Message) {
        self.words.retain(|(other, before)| *other != to || *before != message);
        if self.words.len() >= WORDS_MAX {
            self.words.remove(0);
        }
        self.words.push((to, message));
        while let Some(at) = self.waiting.iter().position(|(other, ..)| *other == to) {
            let (_, _, asker) = self.waiting.remove(at);
            self.give(to, asker);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    /// All that is there for it, at once or within the time.
    pub(super) fn ask(&mut self, from: Uuid, wait: Duration, asker: Asker) {
        if wait.is_zero() || self.words.iter().any(|(to, _)| *to == from) {
            return self.give(from, asker);
        }
        self.waiting.push((from, Instant::now() + wait, asker));
    }

    /// Those whose time is over are told that there is nothing.
    pub(super) fn tend(&mut self) {
        let now = Instant::now();
        while let Some(at) = self.waiting.iter().position(|(_, until, _)| *until <= now) {
            let (from, _, asker) = self.waiting.remove(at);
            self.give(from, asker);
        }
    }

    /// Nobody waits any longer: there will be no more.
    pub(super) fn close(&mut self) {
        for (from, _, asker) in std::mem::take(&mut self.waiting) {
            self.give(from, asker);
        }
    }

    fn give(&mut self, to: Uuid, asker: Asker) {
        let (theirs, others) = std::mem::take(&mut self.words).into_iter().partition(|(host, _)| *host == to);
        self.words = others;
        let theirs: Vec<(Uuid, Message)> = theirs;
        let messages = theirs.iter().filter_map(|(_, message)| words::to_value(message).ok()).collect();
        asker.respond(Response::Ok { state: State::Elsewhere, answer: Answer::Words { messages } });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::migration::handover::{Attempt, Word};

    fn words(response: Response) -> usize {
        match response {
            Response::Ok { answer: Answer::Words { messages }, .. } => messages.len(),
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn whoever_waits_is_answered_with_what_comes_or_once_there_will_be_no_more() {
        let (here, there) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let word = Word::Activated(Attempt { generation: 1, number: 1 });
        let message = Message::of(here, word, || unreachable!(), Vec::new);
        let mut post = Post::default();
        let (asker, answered) = Asker::with_answer();
        post.ask(there, Duration::from_secs(60), asker);
        post.put(there, message);
        assert_eq!(words(answered.await.unwrap()), 1);

        let (asker, mut answered) = Asker::with_answer();
        post.ask(there, Duration::from_secs(60), asker);
        post.tend();
        assert!(answered.try_recv().is_err(), "its time is not over");
        post.close();
        assert_eq!(words(answered.await.unwrap()), 0);
    }
}
