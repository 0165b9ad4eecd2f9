-- The state of the log, one row. Every commit that appends updates it, so that it is consistent with the events.
CREATE TABLE log_state (
    one           INTEGER PRIMARY KEY CHECK (one = 1),
    next_position INTEGER NOT NULL, -- the next append gets it; never reused
    newest_id     TEXT,             -- the id of the newest event, kept when retention discards the event
    floor         INTEGER NOT NULL, -- events up to here are discarded, even where their rows still exist
    events        INTEGER NOT NULL, -- number of events above the floor
    bytes         INTEGER NOT NULL, -- sum of their weights
    instances     INTEGER NOT NULL, -- how many processes ever opened the store: gives each its place in the bell file
    takeovers     INTEGER NOT NULL, -- how often older history was put below what was there: a known index is then stale
    maintainer    INTEGER NOT NULL, -- the instance that discards rows …
    maintained_ms INTEGER NOT NULL  -- … until another may take over
);
INSERT INTO log_state VALUES (1, 1 << 40, NULL, (1 << 40) - 1, 0, 0, 0, 0, 0, 0);

CREATE TABLE events (
    position INTEGER PRIMARY KEY,
    at_ms    INTEGER NOT NULL,
    weight   INTEGER NOT NULL, -- bytes of topics and data
    checksum INTEGER NOT NULL,
    private  INTEGER NOT NULL,
    id       TEXT NOT NULL,
    type     TEXT,
    retry_ms INTEGER,
    topics   TEXT NOT NULL,    -- JSON array, canonical first
    data     TEXT NOT NULL
);

-- The index of a run of positions that is complete: hashes of ids and topics, sorted. An index that is kept row by row
-- would cost five times the appends themselves, because its order is random.
CREATE TABLE segments (
    segment      INTEGER PRIMARY KEY, -- position / segment size
    id_filter    BLOB NOT NULL,
    topic_filter BLOB NOT NULL,
    ids          BLOB NOT NULL,
    topics       BLOB NOT NULL
);

-- Files whose history was taken over, or is being taken over.
CREATE TABLE takeovers (
    path     TEXT PRIMARY KEY,
    instance INTEGER NOT NULL, -- who is at it …
    lease_ms INTEGER NOT NULL, -- … until another may begin anew
    done     INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE nodes (
    node       BLOB PRIMARY KEY,
    expires_ms INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE subscriptions (
    match_type  TEXT NOT NULL,
    match_value TEXT NOT NULL,
    subscriber  TEXT NOT NULL,
    node        BLOB NOT NULL,
    payload     TEXT,
    PRIMARY KEY (match_type, match_value, subscriber)
) WITHOUT ROWID;
CREATE INDEX subscriptions_by_node ON subscriptions (node);
CREATE INDEX subscriptions_by_subscriber ON subscriptions (subscriber);
