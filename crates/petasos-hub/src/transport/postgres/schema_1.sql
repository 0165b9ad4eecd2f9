-- What can be text of any kind is bytea: PostgreSQL's text takes no null characters and has an encoding and an order of
-- its own. The view `log` shows it as text.

-- The state of the log, one row. Every transaction that appends updates it under the log's lock, so that it is
-- consistent with the events, and positions become visible in their order. Its key grows with each append: so the
-- newest version is found at once, however many old ones a long transaction keeps from being removed.
CREATE TABLE {schema}.log_state (
    next_position   bigint PRIMARY KEY, -- the next append gets it; never given twice
    newest_position bigint NOT NULL, -- of the newest event; what follows is kept when retention discards the event
    newest_id       bytea,
    newest_checksum integer NOT NULL,
    floor           bigint NOT NULL, -- events up to here are discarded, even where their rows still exist
    events          bigint NOT NULL, -- number of events above the floor
    bytes           bigint NOT NULL  -- sum of their weights
) WITH (fillfactor = 50, autovacuum_vacuum_threshold = 500, autovacuum_vacuum_scale_factor = 0);
INSERT INTO {schema}.log_state VALUES (1, 0, NULL, 0, 0, 0, 0);

-- Up to where rows are gone, one row: apart from the state, so that no append waits for whoever removes them.
CREATE TABLE {schema}.log_removed (
    position bigint PRIMARY KEY
) WITH (autovacuum_vacuum_threshold = 500, autovacuum_vacuum_scale_factor = 0);
INSERT INTO {schema}.log_removed VALUES (0);

CREATE TABLE {schema}.events (
    position   bigint PRIMARY KEY,
    at_ms      bigint NOT NULL,
    retry_ms   bigint,
    id_hash    bigint NOT NULL, -- XXH3 of the id
    topic_hash bigint NOT NULL, -- XXH3 of the topic, zero where there are several
    weight     integer NOT NULL, -- bytes of topics and data
    checksum   integer NOT NULL,
    private    boolean NOT NULL,
    id         bytea NOT NULL,
    type       bytea,
    topics     bytea NOT NULL, -- JSON array, canonical first
    data       bytea NOT NULL
) WITH (autovacuum_vacuum_threshold = 10000, autovacuum_vacuum_scale_factor = 0.02,
        autovacuum_vacuum_insert_threshold = 100000, autovacuum_vacuum_insert_scale_factor = 0.05);

-- Hashes come in random order. Kept by runs of positions, the pages that an append touches are few and in memory,
-- and a search looks once into each run.
CREATE INDEX events_by_id ON {schema}.events ((position >> 16), id_hash);
CREATE INDEX events_by_topic ON {schema}.events ((position >> 12), topic_hash);

-- One row per process: its newest groups, so that one whose answer was lost is not stored twice, and one that
-- arrives late, over a connection that was given up, is refused. The sequence is in the key for the same reason as above.
CREATE TABLE {schema}.writers (
    writer        uuid NOT NULL,
    session       uuid NOT NULL,
    sequence      bigint NOT NULL, -- of the newest group stored
    base          bigint NOT NULL, -- the position of its first event …
    skipped       integer[] NOT NULL, -- … and which of its entries were no-ops
    prior_base    bigint NOT NULL, -- of the group before
    prior_skipped integer[] NOT NULL,
    seen          timestamptz NOT NULL,
    PRIMARY KEY (writer, sequence)
) WITH (fillfactor = 50, autovacuum_vacuum_threshold = 500, autovacuum_vacuum_scale_factor = 0);

CREATE TABLE {schema}.nodes (
    node    uuid PRIMARY KEY,
    expires timestamptz NOT NULL -- by the clock of this server
) WITH (fillfactor = 50, autovacuum_vacuum_threshold = 500, autovacuum_vacuum_scale_factor = 0);

CREATE TABLE {schema}.subscriptions (
    key         uuid PRIMARY KEY, -- XXH3 of match type, value and subscriber, which may be longer than an index takes
    match_type  text COLLATE "C" NOT NULL,
    match_value bytea NOT NULL,
    subscriber  bytea NOT NULL,
    node        uuid NOT NULL,
    payload     bytea
);
CREATE INDEX subscriptions_by_node ON {schema}.subscriptions (node);
CREATE INDEX subscriptions_by_subscriber ON {schema}.subscriptions USING hash (subscriber);
CREATE INDEX subscriptions_by_value ON {schema}.subscriptions USING hash (match_value);

-- For people. Fails where the database has another encoding than UTF-8 and a text does not fit.
CREATE VIEW {schema}.log AS
SELECT e.position, to_timestamp(e.at_ms / 1000.0) AS at, convert_from(e.id, 'UTF8') AS id, e.private,
       convert_from(e.type, 'UTF8') AS type, convert_from(e.topics, 'UTF8') AS topics, e.data
FROM {schema}.events e, (SELECT floor FROM {schema}.log_state ORDER BY next_position DESC LIMIT 1) s
WHERE e.position > s.floor;

-- Waits until nobody else appends to this log, until the end of the transaction.
CREATE FUNCTION {schema}.lock_1() RETURNS void LANGUAGE sql AS $$
    SELECT pg_advisory_xact_lock(1348826465, '{schema}'::regnamespace::oid::integer)
$$;

-- The time before which events are too old, by the clock of this server: those of the hubs may be wrong. NULL: none are.
CREATE FUNCTION {schema}.oldest_1(max_age_ms bigint) RETURNS bigint LANGUAGE sql AS $$
    SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint - max_age_ms
$$;

-- Raises the floor until no more is kept than allowed, by at most so many events (NULL: any number). Zero is no bound,
-- NULL no age. Under the lock.
CREATE FUNCTION {schema}.retain_1(
    max_events bigint, max_bytes bigint, max_age_ms bigint, at_most bigint,
    INOUT floor bigint, INOUT events bigint, INOUT bytes bigint
) LANGUAGE plpgsql AS $$
DECLARE
    event record;
    oldest_ms bigint := {schema}.oldest_1(max_age_ms);
BEGIN
    IF (max_events = 0 OR events <= max_events) AND (max_bytes = 0 OR bytes <= max_bytes) AND oldest_ms IS NULL THEN
        RETURN;
    END IF;
    FOR event IN
        SELECT e.position, e.weight, e.at_ms FROM {schema}.events e WHERE e.position > floor
        ORDER BY e.position LIMIT at_most
    LOOP
        EXIT WHEN (max_events = 0 OR events <= max_events) AND (max_bytes = 0 OR bytes <= max_bytes)
            AND (oldest_ms IS NULL OR event.at_ms >= oldest_ms);
        floor := event.position;
        events := events - 1;
        bytes := bytes - event.weight;
    END LOOP;
END
$$;

-- Appends a group in one transaction. `changes` are the places of the entries that change presence; an end of what is
-- not there makes its entry a no-op, whose place is returned in `skipped`.
CREATE FUNCTION {schema}.append_1(
    in_writer uuid, in_session uuid, in_sequence bigint,
    max_events bigint, max_bytes bigint, max_age_ms bigint,
    at_ms bigint[], retry_ms bigint[], id_hash bigint[], topic_hash bigint[], weight integer[], checksum integer[],
    private boolean[], id bytea[], type bytea[], topics bytea[], data bytea[],
    changes integer[], starts boolean[], keys uuid[], match_types text[], match_values bytea[],
    subscribers bytea[], nodes uuid[], payloads bytea[],
    OUT base bigint, OUT skipped integer[]
) LANGUAGE plpgsql AS $$
DECLARE
    state {schema}.log_state%ROWTYPE;
    stored bigint;
    added bigint;
    last integer;
BEGIN
    PERFORM {schema}.lock_1();
    -- Each statement from here on sees what the appends before have committed.
    SELECT * INTO STRICT state FROM {schema}.log_state s ORDER BY s.next_position DESC LIMIT 1;
    base := state.next_position;
    skipped := '{}';
    FOR i IN 1 .. cardinality(changes) LOOP
        IF starts[i] THEN
            INSERT INTO {schema}.subscriptions AS known (key, match_type, match_value, subscriber, node, payload)
            VALUES (keys[i], match_types[i], match_values[i], subscribers[i], nodes[i], payloads[i])
            ON CONFLICT (key) DO UPDATE SET node = excluded.node, payload = excluded.payload;
            -- A node without a lease is one whose lease has run out.
            INSERT INTO {schema}.nodes VALUES (nodes[i], clock_timestamp()) ON CONFLICT (node) DO NOTHING;
        ELSE
            DELETE FROM {schema}.subscriptions s WHERE s.key = keys[i] AND s.node = nodes[i];
            IF NOT FOUND THEN
                skipped := skipped || changes[i];
            END IF;
        END IF;
    END LOOP;
    last := cardinality(at_ms);
    IF cardinality(skipped) = 0 THEN
        INSERT INTO {schema}.events
        SELECT base + e.n - 1, e.at_ms, e.retry_ms, e.id_hash, e.topic_hash, e.weight, e.checksum, e.private, e.id,
               e.type, e.topics, e.data
        FROM unnest(at_ms, retry_ms, id_hash, topic_hash, weight, checksum, private, id, type, topics, data)
             WITH ORDINALITY AS e (at_ms, retry_ms, id_hash, topic_hash, weight, checksum, private, id, type, topics,
                                   data, n);
        SELECT count(*), coalesce(sum(w), 0) INTO stored, added FROM unnest(weight) w;
    ELSE
        INSERT INTO {schema}.events
        SELECT base + row_number() OVER (ORDER BY e.n) - 1, e.at_ms, e.retry_ms, e.id_hash, e.topic_hash, e.weight,
               e.checksum, e.private, e.id, e.type, e.topics, e.data
        FROM unnest(at_ms, retry_ms, id_hash, topic_hash, weight, checksum, private, id, type, topics, data)
             WITH ORDINALITY AS e (at_ms, retry_ms, id_hash, topic_hash, weight, checksum, private, id, type, topics,
                                   data, n)
        WHERE e.n <> ALL (skipped);
        SELECT count(*), coalesce(sum(e.w), 0), max(e.n) INTO stored, added, last
        FROM unnest(weight) WITH ORDINALITY AS e (w, n) WHERE e.n <> ALL (skipped);
    END IF;
    IF stored > 0 THEN
        state.newest_position := base + stored - 1;
        state.newest_id := id[last];
        state.newest_checksum := checksum[last];
        SELECT r.floor, r.events, r.bytes INTO STRICT state.floor, state.events, state.bytes
        FROM {schema}.retain_1(max_events, max_bytes, max_age_ms, NULL, state.floor,
                               state.events + stored, state.bytes + added) r;
        UPDATE {schema}.log_state s
        SET next_position = append_1.base + stored, newest_position = state.newest_position,
            newest_id = state.newest_id, newest_checksum = state.newest_checksum, floor = state.floor,
            events = state.events, bytes = state.bytes
        WHERE s.next_position = append_1.base;
        PERFORM pg_notify('{channel}', state.newest_position::text);
    END IF;
    IF in_writer IS NOT NULL THEN
        UPDATE {schema}.writers w
        SET sequence = in_sequence, prior_base = w.base, prior_skipped = w.skipped, base = append_1.base,
            skipped = append_1.skipped, seen = clock_timestamp()
        WHERE w.writer = in_writer AND w.session = in_session AND w.sequence = in_sequence - 1;
        IF NOT FOUND THEN
            RAISE EXCEPTION 'a group came over a connection that was given up, or out of its turn'
                USING ERRCODE = 'PT001';
        END IF;
    END IF;
END
$$;

-- Whether the event that a node has seen last is still part of this log. Where it is not (the server took over from
-- another one that had more, or was restored), positions that the node may have seen are given to no other event.
CREATE FUNCTION {schema}.continue_1(seen bigint, seen_checksum integer) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    state {schema}.log_state%ROWTYPE;
    intact boolean;
BEGIN
    PERFORM {schema}.lock_1();
    SELECT * INTO STRICT state FROM {schema}.log_state s ORDER BY s.next_position DESC LIMIT 1;
    intact := CASE
        WHEN seen > state.newest_position THEN false
        WHEN seen = state.newest_position THEN seen_checksum = state.newest_checksum
        -- Discarded events are compared too while their rows are there.
        WHEN seen <= (SELECT r.position FROM {schema}.log_removed r ORDER BY r.position DESC LIMIT 1) THEN true
        ELSE EXISTS (SELECT FROM {schema}.events e WHERE e.position = seen AND e.checksum = seen_checksum)
    END;
    IF NOT intact AND state.next_position <= seen THEN
        -- With a margin for nodes that have seen more than this one.
        UPDATE {schema}.log_state s SET next_position = seen + 1048576
        WHERE s.next_position = state.next_position;
    END IF;
    RETURN intact;
END
$$;

-- Begins a session of a writer, which no group of an earlier session can follow any more, and says what the last ones
-- came to. What it says does not change when it is asked again.
CREATE FUNCTION {schema}.begin_1(in_writer uuid, in_session uuid) RETURNS SETOF {schema}.writers
LANGUAGE plpgsql AS $$
DECLARE
    newest bigint;
BEGIN
    PERFORM {schema}.lock_1();
    SELECT w.sequence INTO newest FROM {schema}.writers w
    WHERE w.writer = in_writer ORDER BY w.sequence DESC LIMIT 1;
    IF newest IS NULL THEN
        INSERT INTO {schema}.writers VALUES (in_writer, in_session, 0, 0, '{}', 0, '{}', clock_timestamp());
        RETURN;
    END IF;
    RETURN QUERY UPDATE {schema}.writers w SET session = in_session, seen = clock_timestamp()
    WHERE w.writer = in_writer AND w.sequence = newest RETURNING w.*;
END
$$;

-- Retention while nobody appends, in steps of at most so many events. Returns whether there may be more to discard.
CREATE FUNCTION {schema}.retain_now_1(max_events bigint, max_bytes bigint, max_age_ms bigint, at_most bigint)
RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    state {schema}.log_state%ROWTYPE;
    kept record;
BEGIN
    PERFORM {schema}.lock_1();
    SELECT * INTO STRICT state FROM {schema}.log_state s ORDER BY s.next_position DESC LIMIT 1;
    SELECT * INTO STRICT kept
    FROM {schema}.retain_1(max_events, max_bytes, max_age_ms, at_most, state.floor, state.events, state.bytes);
    IF kept.floor > state.floor THEN
        UPDATE {schema}.log_state s SET floor = kept.floor, events = kept.events, bytes = kept.bytes
        WHERE s.next_position = state.next_position;
    END IF;
    RETURN state.events - kept.events >= at_most;
END
$$;

-- Discards by hand, at most so many events, and returns how many there were.
CREATE FUNCTION {schema}.discard_1(until bigint, at_most bigint) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    state {schema}.log_state%ROWTYPE;
    edge bigint;
    gone bigint;
    lost bigint;
BEGIN
    PERFORM {schema}.lock_1();
    SELECT * INTO STRICT state FROM {schema}.log_state s ORDER BY s.next_position DESC LIMIT 1;
    until := least(until, state.newest_position);
    IF until <= state.floor THEN
        RETURN 0;
    END IF;
    SELECT max(e.position), count(*), coalesce(sum(e.weight), 0) INTO edge, gone, lost
    FROM (SELECT position, weight FROM {schema}.events
          WHERE position > state.floor AND position <= until ORDER BY position LIMIT at_most) e;
    IF gone < at_most THEN
        edge := until;
    END IF;
    UPDATE {schema}.log_state s SET floor = edge, events = s.events - gone, bytes = s.bytes - lost
    WHERE s.next_position = state.next_position;
    RETURN gone;
END
$$;

-- Removes at most so many rows up to `until`, never above the floor, and returns how many; nothing while another node
-- does.
CREATE FUNCTION {schema}.remove_1(until bigint, at_most bigint) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    removed bigint;
    edge bigint;
    gone bigint;
BEGIN
    IF NOT pg_try_advisory_xact_lock(1348826466, '{schema}'::regnamespace::oid::integer) THEN
        RETURN 0;
    END IF;
    SELECT r.position INTO STRICT removed FROM {schema}.log_removed r ORDER BY r.position DESC LIMIT 1;
    SELECT least(until, s.floor) INTO STRICT until FROM {schema}.log_state s ORDER BY s.next_position DESC LIMIT 1;
    SELECT max(e.position) INTO edge
    FROM (SELECT position FROM {schema}.events
          WHERE position > removed AND position <= until ORDER BY position LIMIT at_most) e;
    IF edge IS NULL THEN
        RETURN 0;
    END IF;
    DELETE FROM {schema}.events e WHERE e.position > removed AND e.position <= edge;
    GET DIAGNOSTICS gone = ROW_COUNT;
    UPDATE {schema}.log_removed r SET position = edge WHERE r.position = removed;
    RETURN gone;
END
$$;

-- Says that a node is alive, and returns whether it was: under the lock of its row, which whoever ends the subscriptions
-- of dead nodes takes too.
CREATE FUNCTION {schema}.renew_1(in_node uuid, lease_s double precision) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    runs boolean;
BEGIN
    INSERT INTO {schema}.nodes VALUES (in_node, '-infinity') ON CONFLICT (node) DO NOTHING;
    PERFORM FROM {schema}.nodes n WHERE n.node = in_node FOR UPDATE;
    -- A statement of its own sees what was committed while this waited.
    SELECT n.expires >= clock_timestamp() INTO runs FROM {schema}.nodes n WHERE n.node = in_node;
    INSERT INTO {schema}.nodes VALUES (in_node, clock_timestamp() + make_interval(secs => lease_s))
    ON CONFLICT (node) DO UPDATE SET expires = excluded.expires;
    RETURN coalesce(runs, false);
END
$$;

-- Fails where the log cannot grow. To be rolled back.
CREATE FUNCTION {schema}.probe_1() RETURNS void LANGUAGE sql AS $$
    INSERT INTO {schema}.events
    SELECT -1, 0, NULL, 0, 0, 0, 0, true, '', NULL, '[]', string_agg(decode(md5(random()::text), 'hex'), '')
    FROM generate_series(1, 1000)
$$;

-- Forgets nodes whose lease has run out and that have no subscriptions left, and writers of processes long gone.
CREATE FUNCTION {schema}.forget_1() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM {schema}.lock_1();
    DELETE FROM {schema}.nodes n
    WHERE n.expires < clock_timestamp()
      AND NOT EXISTS (SELECT FROM {schema}.subscriptions s WHERE s.node = n.node);
    DELETE FROM {schema}.writers w WHERE w.seen < clock_timestamp() - interval '7 days';
END
$$;
