//! Finding events by id and by topic. In memory are the filters of the closed segments and the entries of those that are
//! not closed yet; the blocks themselves lie in the database.
//!
//! One lock guards it. Whoever needs the index brings it up to the head of the log first, so that it is never behind what
//! was acknowledged, whichever process appended it.

use std::{collections::BTreeMap, sync::Arc};

use rusqlite::{Connection, OptionalExtension, params};

use super::{
    row::decode_topics,
    schema::FIRST_POSITION,
    segment::{Entries, Filter, SEGMENT_POSITIONS, hash, offsets_in_block, segment_of},
};
use crate::transport::StoredEvent;

/// Which of the two indexes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Ids,
    Topics,
}

#[derive(Debug, Default)]
pub(super) struct Index {
    closed: BTreeMap<u64, Arc<Filters>>,
    open: BTreeMap<u64, OpenSegment>,
    /// Everything up to this position is in the index.
    covered: u64,
    /// How many take-overs the closed segments include.
    takeovers: u64,
}

#[derive(Debug)]
struct Filters {
    ids: Filter,
    topics: Filter,
}

#[derive(Clone, Debug, Default)]
pub(super) struct OpenSegment {
    ids: Entries,
    topics: Entries,
}

/// Where a hash may occur: in a block of the database, or at known positions.
#[derive(Debug)]
pub(super) enum Candidate {
    Block(u64),
    Positions(Vec<u64>),
}

/// A segment that is complete, ready to be stored.
#[derive(Debug)]
pub(super) struct ClosedSegment {
    pub(super) segment: u64,
    filters: Arc<Filters>,
    ids: Vec<u8>,
    topics: Vec<u8>,
}

impl Index {
    /// Reads the filters of the closed segments.
    pub(super) fn load(conn: &Connection) -> rusqlite::Result<Self> {
        let mut index = Self { takeovers: takeovers(conn)?, ..Self::default() };
        index.load_closed(conn)?;
        // What lies below the store's own positions comes with its segments, complete. While it is being taken over its
        // rows are there already, but not all of them: a segment made of those would hide the whole one.
        let closed = index.closed.last_key_value().map_or(0, |(last, _)| (last + 1) * SEGMENT_POSITIONS - 1);
        index.covered = closed.max(FIRST_POSITION - 1);
        Ok(index)
    }

    fn load_closed(&mut self, conn: &Connection) -> rusqlite::Result<()> {
        let mut statement =
            conn.prepare("SELECT segment, id_filter, topic_filter FROM segments ORDER BY segment")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let segment = row.get::<_, i64>(0)?.cast_unsigned();
            let filters =
                Filters { ids: Filter::from_bytes(row.get(1)?), topics: Filter::from_bytes(row.get(2)?) };
            self.closed.insert(segment, Arc::new(filters));
        }
        Ok(())
    }

    /// Adds events that were just committed, if they follow what is covered; otherwise [`Self::catch_up`] will.
    pub(super) fn feed(&mut self, events: &[StoredEvent]) {
        for event in events {
            if event.position.0 == self.covered + 1 {
                self.add(event.position.0, event.update.id(), event.update.topics());
            }
        }
    }

    /// Reads what the log has gained since.
    pub(super) fn catch_up(&mut self, conn: &Connection) -> rusqlite::Result<()> {
        let takeovers = takeovers(conn)?;
        if takeovers != self.takeovers {
            self.load_closed(conn)?;
            self.takeovers = takeovers;
        }
        let mut statement = conn.prepare_cached(
            "SELECT position, id, topics FROM events WHERE position > ?1 ORDER BY position",
        )?;
        let mut rows = statement.query([self.covered.cast_signed()])?;
        while let Some(row) = rows.next()? {
            let topics = decode_topics(row.get_ref(2)?.as_str()?).unwrap_or_default();
            self.add(row.get::<_, i64>(0)?.cast_unsigned(), row.get_ref(1)?.as_str()?, &topics);
        }
        Ok(())
    }

    fn add(&mut self, position: u64, id: &str, topics: &[String]) {
        // The remainder of a division by the size of a segment fits.
        let offset = (position % SEGMENT_POSITIONS) as u16;
        self.open.entry(segment_of(position)).or_default().add(offset, id, topics);
        self.covered = position;
    }

    /// Where `hash` may occur between two positions (both included), oldest first.
    pub(super) fn candidates(&self, kind: Kind, hash: u64, from: u64, until: u64) -> Vec<(u64, Candidate)> {
        let segments = segment_of(from)..=segment_of(until);
        let mut found: Vec<_> = self
            .closed
            .range(segments.clone())
            .filter(|(_, filters)| match kind {
                Kind::Ids => filters.ids.may_contain(hash),
                Kind::Topics => filters.topics.may_contain(hash),
            })
            .map(|(segment, _)| (*segment, Candidate::Block(*segment)))
            .collect();
        for (segment, open) in self.open.range(segments) {
            if self.closed.contains_key(segment) {
                continue;
            }
            let positions: Vec<_> = open
                .entries(kind)
                .offsets(hash)
                .map(|offset| segment * SEGMENT_POSITIONS + u64::from(offset))
                .collect();
            if !positions.is_empty() {
                found.push((*segment, Candidate::Positions(positions)));
            }
        }
        found.sort_unstable_by_key(|(segment, _)| *segment);
        found
    }

    /// Segments that are complete and not stored yet, oldest first.
    pub(super) fn complete(&self) -> Vec<ClosedSegment> {
        let current = segment_of(self.covered + 1);
        self.open.range(..current).map(|(segment, open)| open.close(*segment)).collect()
    }

    /// Notes that a segment is in the database now.
    pub(super) fn stored(&mut self, closed: &ClosedSegment) {
        self.open.remove(&closed.segment);
        self.closed.insert(closed.segment, Arc::clone(&closed.filters));
    }

    /// Forgets segments that lie below the floor, which `conn` has read. A floor from before a take-over that is in the
    /// index says nothing about it.
    pub(super) fn forget_below(&mut self, conn: &Connection, floor: u64) -> rusqlite::Result<()> {
        if takeovers(conn)? == self.takeovers {
            let first = segment_of(floor + 1);
            self.closed.retain(|segment, _| *segment >= first);
            self.open.retain(|segment, _| *segment >= first);
        }
        Ok(())
    }
}

impl OpenSegment {
    /// What the rows of a segment say.
    fn read(conn: &Connection, segment: u64) -> rusqlite::Result<Self> {
        let mut open = Self::default();
        let mut statement =
            conn.prepare_cached("SELECT position, id, topics FROM events WHERE position BETWEEN ?1 AND ?2")?;
        let first = segment * SEGMENT_POSITIONS;
        let last = first + (SEGMENT_POSITIONS - 1);
        let mut rows = statement.query((first.cast_signed(), last.cast_signed()))?;
        while let Some(row) = rows.next()? {
            let position = row.get::<_, i64>(0)?.cast_unsigned();
            let topics = decode_topics(row.get_ref(2)?.as_str()?).unwrap_or_default();
            // The remainder of a division by the size of a segment fits.
            open.add((position % SEGMENT_POSITIONS) as u16, row.get_ref(1)?.as_str()?, &topics);
        }
        Ok(open)
    }

    fn entries(&self, kind: Kind) -> &Entries {
        match kind {
            Kind::Ids => &self.ids,
            Kind::Topics => &self.topics,
        }
    }

    pub(super) fn add(&mut self, offset: u16, id: &str, topics: &[String]) {
        self.ids.push(hash(id), offset);
        for topic in topics {
            self.topics.push(hash(topic), offset);
        }
    }

    pub(super) fn close(&self, segment: u64) -> ClosedSegment {
        let (ids, id_filter) = self.ids.close();
        let (topics, topic_filter) = self.topics.close();
        ClosedSegment {
            segment,
            filters: Arc::new(Filters { ids: id_filter, topics: topic_filter }),
            ids,
            topics,
        }
    }
}

fn takeovers(conn: &Connection) -> rusqlite::Result<u64> {
    conn.prepare_cached("SELECT takeovers FROM log_state")?
        .query_row([], |row| row.get::<_, i64>(0))
        .map(i64::cast_unsigned)
}

impl ClosedSegment {
    /// Stores it, unless another process already has.
    pub(super) fn store(&self, conn: &Connection) -> rusqlite::Result<()> {
        conn.prepare_cached(
            "INSERT OR IGNORE INTO segments (segment, id_filter, topic_filter, ids, topics) VALUES (?1, ?2, ?3, ?4, ?5)",
        )?
        .execute(params![
            self.segment.cast_signed(),
            self.filters.ids.as_bytes(),
            self.filters.topics.as_bytes(),
            self.ids,
            self.topics
        ])?;
        Ok(())
    }
}

impl Candidate {
    /// The positions at which `hash` occurs.
    pub(super) fn positions(self, conn: &Connection, kind: Kind, hash: u64) -> rusqlite::Result<Vec<u64>> {
        let segment = match self {
            Self::Positions(positions) => return Ok(positions),
            Self::Block(segment) => segment,
        };
        let column = match kind {
            Kind::Ids => "ids",
            Kind::Topics => "topics",
        };
        let block: Option<Vec<u8>> = conn
            .prepare_cached(&format!("SELECT {column} FROM segments WHERE segment = ?1"))?
            .query_row([segment.cast_signed()], |row| row.get(0))
            .optional()?;
        let offsets = match block {
            Some(block) => offsets_in_block(&block, hash),
            // The segment was closed, or removed, while this read was under way: its rows are what the read sees.
            None => OpenSegment::read(conn, segment)?.entries(kind).offsets(hash).collect(),
        };
        Ok(offsets.into_iter().map(|offset| segment * SEGMENT_POSITIONS + u64::from(offset)).collect())
    }
}
