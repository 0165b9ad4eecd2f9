//! Makes messages of jobs. Most need nothing but their entries. Those with presence write that first, and those whose
//! attempt JetStream may have forgotten look whether it is stored; both go on where an earlier attempt ended.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use tokio::time::Instant;

use super::{
    Store,
    presence::{self, Step},
    read,
    window::Outgoing,
};
use crate::{
    Update,
    transport::{
        AttemptId, ErrorKind, Position, PresenceChange, TransportError, now_ms,
        remote::{Job, wire::encode_event},
    },
};

/// Changes of presence that are written together.
const PRESENCE_BATCH: usize = 256;

/// Bytes of a message beside its payload: its subjects and headers.
const HEADER_BYTES: usize = 512;

/// Attempts that are remembered, as many and for so long after they were made last: a retry follows within seconds.
const ATTEMPTS: usize = 8_192;
const KEEP: Duration = Duration::from_secs(600);

/// The attempts that have not succeeded, oldest forgotten first.
#[derive(Debug, Default)]
pub(super) struct Unfinished {
    attempts: HashMap<AttemptId, Attempt>,
    /// In the order of their places, one for each.
    order: VecDeque<(AttemptId, Instant)>,
}

#[derive(Debug)]
struct Attempt {
    since: Instant,
    last: Instant,
    /// What was written of presence, by the number of the entry.
    steps: Vec<Option<Step>>,
}

/// A job that was prepared.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) job: Job,
    /// What was written of its presence, also where that is not all.
    pub(super) steps: Vec<Option<Step>>,
    /// What is to be sent; `None` where nobody waits for it any more.
    pub(super) made: Result<Option<Made>, TransportError>,
}

/// The position of a job's last event that is stored already, and its messages.
type Made = (Option<Position>, Vec<Outgoing>);

impl Unfinished {
    /// Whether JetStream may have forgotten this attempt.
    pub(super) fn is_old(&self, attempt: AttemptId, surely_known: Duration) -> bool {
        self.attempts.get(&attempt).is_some_and(|known| known.since.elapsed() > surely_known)
    }

    /// Takes what was written of an attempt, and whether JetStream may have forgotten it.
    pub(super) fn begin(&mut self, attempt: AttemptId, surely_known: Duration) -> (Vec<Option<Step>>, bool) {
        let is_old = self.is_old(attempt, surely_known);
        let known = self.attempts.get_mut(&attempt);
        (known.map(|known| std::mem::take(&mut known.steps)).unwrap_or_default(), is_old)
    }

    /// Notes that an attempt was made, and what is written of it unless that is nothing new.
    pub(super) fn note(&mut self, attempt: AttemptId, steps: Vec<Option<Step>>) {
        let now = Instant::now();
        match self.attempts.get_mut(&attempt) {
            Some(known) => {
                known.last = now;
                if !steps.is_empty() {
                    known.steps = steps;
                }
            }
            None => {
                self.attempts.insert(attempt, Attempt { since: now, last: now, steps });
                self.order.push_back((attempt, now));
            }
        }
        while let Some(&(oldest, noted)) = self.order.front() {
            let last = self.attempts.get(&oldest).map(|attempt| attempt.last);
            let is_kept = self.order.len() <= ATTEMPTS && last.is_some() && noted.elapsed() < KEEP;
            if is_kept {
                break;
            }
            self.order.pop_front();
            match last {
                // It was made again meanwhile.
                Some(last) if last != noted && last.elapsed() < KEEP => self.order.push_back((oldest, last)),
                _ => {
                    self.attempts.remove(&oldest);
                }
            }
        }
    }

    /// Forgets an attempt that succeeded.
    pub(super) fn remove(&mut self, attempt: AttemptId) {
        self.attempts.remove(&attempt);
    }

    /// Forgets what was written of presence: it is not there any more.
    pub(super) fn forget_steps(&mut self) {
        self.attempts.values_mut().for_each(|attempt| attempt.steps.clear());
    }
}

/// Whether nothing needs to be asked or written before the messages of a job.
pub(super) fn is_plain(job: &Job) -> bool {
    job.entries.iter().all(|entry| entry.presence.is_none())
}

/// The messages of a job without presence.
pub(super) fn plain_messages(store: &Store, job: &Job) -> Result<Vec<Outgoing>, TransportError> {
    let at_ms = now_ms();
    let entries = job.entries.iter().enumerate();
    entries
        .map(|(index, entry)| outgoing(store, at_ms, &entry.update, attempt_id(job.attempt, index), None))
        .collect()
}

/// Prepares a job. `steps` is what an earlier attempt has written, `is_old` whether its events may be stored without
/// JetStream knowing.
pub(super) async fn prepare(
    store: Arc<Store>,
    job: Job,
    mut steps: Vec<Option<Step>>,
    is_old: bool,
) -> Prepared {
    let made = match write_presence(&store, &job, &mut steps).await {
        Ok(true) => messages(&store, &job, &steps, is_old).await.map(Some),
        Ok(false) => Ok(None),
        Err(error) => Err(error),
    };
    Prepared { job, steps, made }
}

async fn messages(
    store: &Store,
    job: &Job,
    steps: &[Option<Step>],
    is_old: bool,
) -> Result<Made, TransportError> {
    let now_ms = now_ms();
    let mut position = None;
    let mut messages = Vec::with_capacity(job.entries.len());
    for (index, (entry, step)) in job.entries.iter().zip(steps).enumerate() {
        let (at_ms, update, attempt, record) = match step {
            Some(Step::Nothing) | None => continue,
            Some(Step::Append) => (now_ms, &entry.update, attempt_id(job.attempt, index), None),
            Some(Step::Finish { at_ms, update, attempt, record }) => {
                (*at_ms, update, attempt.clone(), Some(*record))
            }
        };
        // JetStream may have forgotten this attempt.
        if is_old && let Some(found) = read::find(store, update.id()).await? {
            position = position.max(Some(found));
            continue;
        }
        messages.push(outgoing(store, at_ms, update, attempt, record)?);
    }
    Ok((position, messages))
}

fn outgoing(
    store: &Store,
    at_ms: u64,
    update: &Update,
    attempt: String,
    record: Option<u64>,
) -> Result<Outgoing, TransportError> {
    let subject = store.streams.event_subject(update.id());
    let payload = Bytes::from(encode_event(at_ms, update));
    let most = store.api.link().client.max_payload();
    if payload.len() + HEADER_BYTES > most {
        return Err(TransportError::new(
            ErrorKind::Invalid,
            format!(
                "an update of {} bytes is larger than the NATS server takes: raise its max_payload, {most} bytes now, \
                 or lower the hub's limit of bodies",
                payload.len()
            ),
        ));
    }
    Ok(Outgoing { subject, attempt, payload, record })
}

/// Writes the changes of presence of a job that are not written, and notes what becomes of its events. `false`: it ended
/// early, because nobody waits for the job any more.
async fn write_presence(
    store: &Store,
    job: &Job,
    steps: &mut Vec<Option<Step>>,
) -> Result<bool, TransportError> {
    steps.resize_with(job.entries.len(), || None);
    let mut done = 0;
    while done < job.entries.len() {
        if job.is_overdue() {
            return Ok(false);
        }
        // Changes of one subscription come one after the other, others together.
        let mut seen = HashSet::new();
        let count = job.entries[done..]
            .iter()
            .take(PRESENCE_BATCH)
            .take_while(|entry| match &entry.presence {
                None => true,
                Some(PresenceChange::Start(record) | PresenceChange::End(record)) => {
                    seen.insert((record.match_type, &record.match_value, &record.subscriber))
                }
            })
            .count();
        let batch = done..done + count;
        let writing = batch.clone().filter(|index| steps[*index].is_none()).map(|index| {
            let entry = &job.entries[index];
            let attempt = attempt_id(job.attempt, index);
            async move {
                let step = match &entry.presence {
                    None => Ok(Step::Append),
                    Some(PresenceChange::Start(record)) => {
                        presence::start(store, record).await.map(|()| Step::Append)
                    }
                    Some(PresenceChange::End(record)) => {
                        presence::end(store, record, &entry.update, &attempt).await
                    }
                };
                (index, step)
            }
        });
        // All of them: what one fails at, others may have done.
        let mut failed = Ok(());
        for (index, step) in futures_util::future::join_all(writing).await {
            match step {
                Ok(step) => steps[index] = Some(step),
                Err(error) => failed = Err(error),
            }
        }
        failed?;
        done = batch.end;
    }
    Ok(true)
}

/// What an entry of an attempt is stored once under.
fn attempt_id(attempt: AttemptId, index: usize) -> String {
    format!("{:032x}.{index}", attempt.0)
}
