//! The lines that are not acknowledged yet, in their order: which to send next, which are settled, and what to send again
//! after a connection was lost. Pure.
//!
//! Order. Every connection carries the lines of the window in their order, beginning with the first one that is not
//! settled, and the next connection begins only when the last one has ended. A hub that appends the requests of one
//! connection in the order of their heads has then stored, of the lines without an answer, the first few, and none of
//! the others. Sending again from the first line without an answer may store those few twice, under the same ids, but
//! never puts a line in front of an earlier one: who keeps the first of each id has every line in order.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::client::answer::Refused;

/// Lines under way. The caller bounds how many are put in.
#[derive(Debug, Default)]
pub(super) struct Window {
    lines: VecDeque<Line>,
    /// The key of the first of `lines`.
    first: u64,
    /// Nothing before this index is waiting.
    next: usize,
}

#[derive(Debug)]
struct Line {
    number: u64,
    body: Bytes,
    state: State,
}

#[derive(Debug, PartialEq, Eq)]
enum State {
    /// To be sent, for the first time or again.
    Waiting,
    /// Sent, no answer yet.
    Sent,
    /// Sent, and certainly not looked at. It waits for the next connection.
    Unsent,
    /// Refused for the moment; certainly not stored by that request.
    Deferred,
    /// Stored, under this id.
    Stored(String),
    /// Refused for good.
    Refused(Refused),
}

/// Which line of the window; never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key(u64);

/// A line that is done with.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Settled {
    /// The number of the line.
    pub(super) number: u64,
    /// Its id, or why it was refused.
    pub(super) result: Result<String, Refused>,
}

/// What the end of a connection means for the lines that were on it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Rewound {
    /// Lines that were sent and have no answer: sending them again may store them twice.
    pub(super) unanswered: usize,
    /// Lines that were certainly not stored while a later one was: `(line, later line)`. The order is lost here, because
    /// the server did not keep it.
    pub(super) overtaken: Vec<(u64, u64)>,
}

impl Window {
    /// Lines in it.
    pub(super) fn len(&self) -> usize {
        self.lines.len()
    }

    /// Whether all lines are done with.
    pub(super) fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// The numbers of the first and the last line in it.
    pub(super) fn range(&self) -> Option<(u64, u64)> {
        Some((self.lines.front()?.number, self.lines.back()?.number))
    }

    /// Takes the next line of the input.
    pub(super) fn push(&mut self, number: u64, body: Bytes) {
        self.lines.push_back(Line { number, body, state: State::Waiting });
    }

    /// The body of the line to send next.
    pub(super) fn peek_waiting(&mut self) -> Option<&Bytes> {
        while self.lines.get(self.next)?.state != State::Waiting {
            self.next += 1;
        }
        Some(&self.lines.get(self.next)?.body)
    }

    /// Marks the line that [`Self::peek_waiting`] showed as sent.
    pub(super) fn mark_sent(&mut self) -> Option<Key> {
        self.peek_waiting()?;
        self.lines.get_mut(self.next)?.state = State::Sent;
        Some(Key(self.first + self.next as u64))
    }

    /// The line was stored.
    pub(super) fn stored(&mut self, key: Key, id: String) {
        self.set(key, State::Stored(id));
    }

    /// The line was refused for good.
    pub(super) fn refused(&mut self, key: Key, why: Refused) {
        self.set(key, State::Refused(why));
    }

    /// The line was refused for the moment.
    pub(super) fn deferred(&mut self, key: Key) {
        self.set(key, State::Deferred);
    }

    /// The line was sent, but the server has certainly not looked at it.
    pub(super) fn unsent(&mut self, key: Key) {
        self.set(key, State::Unsent);
    }

    /// Takes out the next line that is done with, in the order of the input.
    pub(super) fn pop_settled(&mut self) -> Option<Settled> {
        if !matches!(self.lines.front()?.state, State::Stored(_) | State::Refused(_)) {
            return None;
        }
        let Line { number, state, .. } = self.lines.pop_front()?;
        self.first += 1;
        self.next = self.next.saturating_sub(1);
        match state {
            State::Stored(id) => Some(Settled { number, result: Ok(id) }),
            State::Refused(why) => Some(Settled { number, result: Err(why) }),
            State::Waiting | State::Sent | State::Unsent | State::Deferred => None,
        }
    }

    /// The connection has ended and all its answers are in: every line that is not settled is to be sent, in order.
    pub(super) fn rewind(&mut self) -> Rewound {
        let mut rewound = Rewound::default();
        let mut later_stored = None;
        for line in self.lines.iter_mut().rev() {
            match &line.state {
                State::Stored(_) => later_stored = Some(line.number),
                State::Refused(_) | State::Waiting => {}
                State::Sent => {
                    rewound.unanswered += 1;
                    line.state = State::Waiting;
                }
                State::Unsent | State::Deferred => {
                    rewound.overtaken.extend(later_stored.map(|later| (line.number, later)));
                    line.state = State::Waiting;
                }
            }
        }
        rewound.overtaken.reverse();
        self.next = 0;
        rewound
    }

    fn set(&mut self, key: Key, state: State) {
        let index = key.0.checked_sub(self.first).and_then(|index| usize::try_from(index).ok());
        if let Some(line) = index.and_then(|index| self.lines.get_mut(index)) {
            line.state = state;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn why() -> Refused {
        Refused { status: http::StatusCode::BAD_REQUEST, code: None, text: String::new() }
    }

    fn window(lines: u64) -> Window {
        let mut window = Window::default();
        for number in 1..=lines {
            window.push(number, Bytes::from(number.to_string()));
        }
        window
    }

    fn send_all(window: &mut Window) -> Vec<Key> {
        std::iter::from_fn(|| window.mark_sent()).collect()
    }

    #[test]
    fn lines_are_reported_in_the_order_of_the_input_whatever_the_order_of_the_answers() {
        let mut window = window(3);
        let keys = send_all(&mut window);
        window.stored(keys[2], "c".into());
        assert_eq!(window.pop_settled(), None);
        window.refused(keys[0], why());
        assert_eq!(window.pop_settled(), Some(Settled { number: 1, result: Err(why()) }));
        assert_eq!(window.pop_settled(), None);
        window.stored(keys[1], "b".into());
        assert_eq!(window.pop_settled(), Some(Settled { number: 2, result: Ok("b".into()) }));
        assert_eq!(window.pop_settled(), Some(Settled { number: 3, result: Ok("c".into()) }));
        assert!(window.is_empty());
    }

    #[test]
    fn after_a_loss_everything_without_an_answer_is_sent_again_in_order() {
        let mut window = window(5);
        let keys = send_all(&mut window);
        window.stored(keys[1], "b".into());
        window.push(6, Bytes::from_static(b"6"));
        assert_eq!(window.rewind(), Rewound { unanswered: 4, overtaken: vec![] });
        let mut bodies = Vec::new();
        while let Some(body) = window.peek_waiting().cloned() {
            bodies.push(body);
            window.mark_sent();
        }
        assert_eq!(bodies, ["1", "3", "4", "5", "6"]);
    }

    #[test]
    fn a_line_that_was_put_off_while_a_later_one_was_stored_is_told() {
        let mut window = window(4);
        let keys = send_all(&mut window);
        window.deferred(keys[0]);
        window.stored(keys[2], "c".into());
        window.deferred(keys[3]);
        assert_eq!(window.rewind(), Rewound { unanswered: 1, overtaken: vec![(1, 3)] });
    }

    proptest! {
        /// A server that appends a connection's requests in order and may lose the connection after any of them, before or
        /// after their answers: the first occurrences of all ids are in order, and nothing is missing.
        #[test]
        fn a_server_that_keeps_the_order_of_a_connection_gets_every_line_in_order(
            total in 1u64..40,
            losses in prop::collection::vec((0usize..8, 0usize..8), 0..12),
        ) {
            let mut window = Window::default();
            let mut log: Vec<u64> = Vec::new();
            let (mut pushed, mut reported) = (0, Vec::new());
            let mut losses = losses.into_iter();
            while reported.len() < total as usize {
                let loss = losses.next();
                let stored_here = loss.map_or(usize::MAX, |(stored, _)| stored);
                let answered_here = loss.map_or(usize::MAX, |(_, answered)| answered);
                let (mut sent, mut answered) = (0, 0);
                loop {
                    while pushed < total && window.len() < 6 {
                        pushed += 1;
                        window.push(pushed, Bytes::from(pushed.to_string()));
                    }
                    let Some(body) = window.peek_waiting().cloned() else { break };
                    let key = window.mark_sent().expect("a waiting line");
                    if sent < stored_here {
                        log.push(std::str::from_utf8(&body).expect("a number").parse().expect("a number"));
                        if answered < answered_here {
                            window.stored(key, String::new());
                            answered += 1;
                        }
                    }
                    sent += 1;
                    reported.extend(std::iter::from_fn(|| window.pop_settled()).map(|line| line.number));
                }
                window.rewind();
            }
            let mut firsts = Vec::new();
            for number in log {
                if !firsts.contains(&number) {
                    firsts.push(number);
                }
            }
            let expected: Vec<u64> = (1..=total).collect();
            prop_assert_eq!(&firsts, &expected);
            prop_assert_eq!(&reported, &expected);
        }
    }
}
