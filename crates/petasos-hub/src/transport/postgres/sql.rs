//! The statements, with the name of the schema in them. Each is one question and so one snapshot of the log.

use super::row::COLUMNS;

/// Statements on the tables of one schema.
#[derive(Debug)]
pub(super) struct Sql {
    /// The head: its position, id and checksum.
    pub(super) head: String,
    /// The position of the earliest event kept with an id: hash, id, age.
    pub(super) find: String,
    /// Newest position, floor, whether the first event of the page is too old to be given out, and the events of a page:
    /// after, until, events, bytes, age.
    pub(super) page: String,
    /// The same of events that may have one of the topics whose hashes follow.
    pub(super) pick: String,
    /// Newest position, up to where rows are gone, whether the event at `after` is still the one with this checksum, and
    /// the events after it, whatever their age: after, events, bytes, checksum.
    pub(super) follow: String,
    /// Appends a group.
    pub(super) append: String,
    /// Begins a writer's session.
    pub(super) begin: String,
    /// Whether an event that was seen is still there: position, checksum.
    pub(super) go_on: String,
    /// Says that a node is alive: node, lease in seconds. Returns whether it was.
    pub(super) renew: String,
    /// Lets a node's lease run out.
    pub(super) let_expire: String,
    /// The head, and subscriptions; conditions follow.
    pub(super) presence: String,
    /// Subscriptions of nodes whose lease has run out: at most so many.
    pub(super) expired: String,
    /// Whether a node's lease has run out.
    pub(super) has_dead_nodes: String,
    /// Forgets nodes that have left nothing.
    pub(super) forget: String,
    /// Floor, events and bytes, and the size on the disk.
    pub(super) stats: String,
    /// The oldest event kept, and the newest.
    pub(super) oldest: String,
    pub(super) newest: String,
    /// Discards by hand: until, at most.
    pub(super) discard: String,
    /// Retention by age: whether the oldest event kept is older; floor.
    pub(super) stale: String,
    pub(super) retain: String,
    /// Fails where the log cannot grow.
    pub(super) probe: String,
    /// Says that a writer is alive: writer.
    pub(super) seen: String,
    /// Removes rows: until, at most.
    pub(super) remove: String,
    /// What the state says and what there is: events, bytes, and the same counted; rows above the head.
    pub(super) audit: String,
    /// The first rows after a position, sound or not: after, at most.
    pub(super) rows: String,
}

/// The part of a page that a limit in bytes allows: as many as fit, and one more.
fn bounded(source: &str, bytes: &str) -> String {
    format!(
        "(SELECT w.* FROM (
            SELECT p.*, sum(p.weight) OVER (ORDER BY p.position ROWS UNBOUNDED PRECEDING) - p.weight AS before
            FROM ({source}) p
        ) w WHERE w.before < {bytes}::bigint)"
    )
}

impl Sql {
    pub(super) fn new(schema: &str) -> Self {
        let state = format!("(SELECT * FROM {schema}.log_state ORDER BY next_position DESC LIMIT 1) s");
        let removed = format!("(SELECT position FROM {schema}.log_removed ORDER BY position DESC LIMIT 1) r");
        // Evaluated once in a statement, by the clock of the server. No age is zero.
        let oldest = |age: &str| {
            format!("(SELECT coalesce({schema}.oldest_1(nullif({age}::bigint, 0)), 0) AS oldest_ms)")
        };
        let events = format!("{schema}.events e");
        let from = "greatest($1::bigint, s.floor)";
        let until = "least($2::bigint, s.newest_position)";
        let scan = bounded(
            &format!(
                "SELECT {COLUMNS}, e.weight FROM {events}
                 WHERE e.position > {from} AND e.position <= {until} AND e.at_ms >= {}
                 ORDER BY e.position LIMIT $3::bigint",
                oldest("$5")
            ),
            "$4",
        );
        // `+ 0` keeps the planner from walking the primary key instead.
        let pick = bounded(
            &format!(
                "SELECT {COLUMNS}, e.weight FROM (
                    SELECT c.position FROM generate_series(({from} + 1) >> 12, {until} >> 12) g (run)
                    CROSS JOIN LATERAL (
                        SELECT e.position FROM {events}
                        WHERE (e.position >> 12) = g.run AND e.topic_hash = ANY ($6::bigint[])
                          AND e.position + 0 > {from} AND e.position + 0 <= {until} AND e.at_ms >= {}
                        ORDER BY e.position + 0
                    ) c LIMIT $3::bigint
                ) c JOIN {events} ON e.position = c.position",
                oldest("$5")
            ),
            "$4",
        );
        let follow = bounded(
            &format!(
                "SELECT {COLUMNS}, e.weight FROM {events}
                 WHERE e.position > $1::bigint AND e.position <= s.newest_position
                 ORDER BY e.position LIMIT $2::bigint"
            ),
            "$3",
        );
        let paged = |page: &str| {
            format!(
                "SELECT s.newest_position, s.floor, coalesce((
                    SELECT e.at_ms < {} FROM {events} WHERE e.position > {from} AND e.position <= {until}
                    ORDER BY e.position LIMIT 1
                 ), false), {COLUMNS} FROM {state} LEFT JOIN LATERAL {page} e ON true ORDER BY e.position",
                oldest("$5")
            )
        };
        let arguments =
            |count: usize| (1..=count).map(|number| format!("${number}")).collect::<Vec<_>>().join(", ");
        let edge = |order: &str| {
            format!(
                "SELECT {COLUMNS} FROM {state} CROSS JOIN LATERAL (
                    SELECT * FROM {events} WHERE e.position > s.floor AND e.at_ms >= {}
                    ORDER BY e.position {order} LIMIT 1
                 ) e",
                oldest("$1")
            )
        };
        let record = "p.match_type, p.match_value, p.subscriber, p.node, p.payload";
        Self {
            head: format!(
                "SELECT s.newest_position, s.newest_id, s.newest_checksum FROM {state}"
            ),
            find: format!(
                "SELECT f.position FROM {state}
                 CROSS JOIN generate_series((s.floor + 1) >> 16, s.newest_position >> 16) g (run)
                 CROSS JOIN LATERAL (
                    SELECT e.position FROM {events}
                    WHERE (e.position >> 16) = g.run AND e.id_hash = $1::bigint AND e.id = $2::bytea
                      AND e.position + 0 > s.floor AND e.at_ms >= {}
                    ORDER BY e.position + 0 LIMIT 1
                 ) f LIMIT 1",
                oldest("$3")
            ),
            page: paged(&scan),
            pick: paged(&pick),
            follow: format!(
                "SELECT s.newest_position, r.position,
                    $4::integer IS NULL OR $1::bigint <= r.position OR EXISTS (
                        SELECT FROM {schema}.events k WHERE k.position = $1::bigint AND k.checksum = $4::integer
                    ), {COLUMNS}
                 FROM {state} CROSS JOIN {removed} LEFT JOIN LATERAL {follow} e ON true
                 ORDER BY e.position"
            ),
            append: format!("SELECT base, skipped FROM {schema}.append_1({})", arguments(25)),
            begin: format!(
                "SELECT sequence, base, skipped, prior_base, prior_skipped FROM {schema}.begin_1({})",
                arguments(2)
            ),
            go_on: format!("SELECT {schema}.continue_1($1, $2)"),
            renew: format!("SELECT {schema}.renew_1($1, $2)"),
            let_expire: format!(
                "UPDATE {schema}.nodes SET expires = least(expires, clock_timestamp()) WHERE node = $1"
            ),
            presence: format!(
                "SELECT s.newest_position, s.newest_id, s.newest_checksum, {record}
                 FROM {state} LEFT JOIN {schema}.subscriptions p ON true"
            ),
            expired: format!(
                "SELECT {record} FROM {schema}.nodes n JOIN {schema}.subscriptions p ON p.node = n.node
                 WHERE n.expires < clock_timestamp() LIMIT $1::bigint FOR SHARE OF n"
            ),
            has_dead_nodes: format!(
                "SELECT EXISTS (SELECT FROM {schema}.nodes n WHERE n.expires < clock_timestamp())"
            ),
            forget: format!("SELECT {schema}.forget_1()"),
            stats: format!(
                "SELECT s.events, s.bytes, (
                    SELECT sum(pg_total_relation_size(c.oid))::bigint FROM pg_class c
                    WHERE c.relnamespace = $1::text::regnamespace AND c.relkind = 'r'
                 ) FROM {state}"
            ),
            oldest: edge("ASC"),
            newest: edge("DESC"),
            discard: format!("SELECT {schema}.discard_1($1, $2)"),
            stale: format!(
                "SELECT s.floor, coalesce((
                    SELECT e.at_ms < {} FROM {events} WHERE e.position > s.floor ORDER BY e.position LIMIT 1
                 ), false), r.position < s.floor FROM {state} CROSS JOIN {removed}",
                oldest("$1")
            ),
            retain: format!("SELECT {schema}.retain_now_1($1, $2, $3, $4)"),
            probe: format!("BEGIN; SELECT {schema}.probe_1(); ROLLBACK"),
            seen: format!("UPDATE {schema}.writers SET seen = clock_timestamp() WHERE writer = $1"),
            remove: format!("SELECT {schema}.remove_1($1, $2)"),
            audit: format!(
                "SELECT s.events, s.bytes, count(e.position), coalesce(sum(e.weight), 0)::bigint,
                    coalesce(max(e.position) > s.newest_position, false)
                 FROM {state} LEFT JOIN {events} ON e.position > s.floor
                 GROUP BY s.events, s.bytes, s.newest_position"
            ),
            rows: format!(
                "SELECT {COLUMNS} FROM {events}
                 WHERE e.position > greatest($1::bigint, (SELECT s.floor FROM {state}))
                 ORDER BY e.position LIMIT $2::bigint"
            ),
        }
    }
}
