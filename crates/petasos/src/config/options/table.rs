//! The rows of the table of options, in the order in which the documentation shows them.

use super::{Kind, OptionSpec};

const fn option(path: &'static str, kind: Kind, default: &'static str, doc: &'static str) -> OptionSpec {
    OptionSpec::new(path, kind, default, doc)
}

/// All options.
pub(in super::super) static OPTIONS: &[OptionSpec] = &[
    // What the outside sees.
    option("listen", Kind::List, ":80", "Addresses to listen on, as `host:port`; without a host, all interfaces. \
        `SERVER_NAME` has a syntax of its own.").drop_in("SERVER_NAME").prominent(),
    option("public_urls", Kind::List, "", "URLs under which the hub is reached. Requests to another origin are answered \
        with 421. Without any, every origin is answered.").prominent(),
    option("resource_identifier", Kind::Text, "", "The `aud` that tokens must carry. Without it, the URL of the hub as \
        the request has it.").drop_in("MERCURE_RESOURCE_IDENTIFIER").prominent(),
    option("name", Kind::Text, "", "The hub's name in `/mercure/health/{name}/ready` and `/live`."),
    option("dev", Kind::Switch, "false", "Demo mode for one's own machine: listens on `localhost:3000` only, with a \
        publicly known demo key, anonymous subscribers, subscription events, any CORS origin, and history in \
        `./petasos.db`. All of it can be overridden, except that only loopback addresses are listened on.").prominent(),
    option("tls.cert", Kind::Path, "", "PEM file with the certificate chain. Together with `tls.key` it makes the hub \
        speak TLS on all addresses; both are read again when they change.").prominent(),
    option("tls.key", Kind::Path, "", "PEM file with the private key.").prominent(),
    // Who may do what.
    option("auth.anonymous", Kind::Switch, "false", "Subscribing needs no token; without one, only public updates are \
        delivered.").prominent(),
    option("auth.anonymous_publish", Kind::Switch, "false", "Publishing needs no token. For closed networks only."),
    option("auth.issuer", Kind::List, "", "Trusted issuers (the `iss` of tokens) that use the keys below; several share \
        them.").drop_in("MERCURE_TRUSTED_ISSUERS").no_flag(),
    option("auth.authorization_server", Kind::Switch, "false", "Advertise `auth.issuer` as authorization servers in the \
        metadata of the hub.").no_flag(),
    option("auth.publisher_jwt_key", Kind::Text, "", "Shared secret, or public key in PEM (line breaks may be written \
        `\\n`), that verifies the tokens of publishers.").drop_in("MERCURE_PUBLISHER_JWT_KEY").secret(),
    option("auth.publisher_jwt_alg", Kind::Text, "HS256", "Its only algorithm. A key in PEM must state it.")
        .drop_in("MERCURE_PUBLISHER_JWT_ALG").no_flag(),
    option("auth.publisher_jwks", Kind::Text, "", "Instead of a key: a JWK set for the tokens of publishers, as an \
        `https://` URL or a path.").no_flag(),
    option("auth.publisher_jwks_algs", Kind::List, "", "The algorithms allowed with that set. Without any, the \
        asymmetric ones.").no_flag(),
    option("auth.subscriber_jwt_key", Kind::Text, "", "As `auth.publisher_jwt_key`, for the tokens of subscribers.")
        .drop_in("MERCURE_SUBSCRIBER_JWT_KEY").secret(),
    option("auth.subscriber_jwt_alg", Kind::Text, "HS256", "Its only algorithm. A key in PEM must state it.")
        .drop_in("MERCURE_SUBSCRIBER_JWT_ALG").no_flag(),
    option("auth.subscriber_jwks", Kind::Text, "", "Instead of a key: a JWK set for the tokens of subscribers.").no_flag(),
    option("auth.subscriber_jwks_algs", Kind::List, "", "The algorithms allowed with that set.").no_flag(),
    option("issuers", Kind::Issuers, "", "Issuers with keys of their own: `[[issuers]]` tables in the file, a JSON array \
        of the same shape in the variable. See below.").secret(),
    option("protocol_version_compatibility", Kind::Choice(&["off", "7", "8"]), "", "Serve version 0.x of the protocol as \
        well: its tokens, parameters, cookie and answers. `8` and `7` mean the same. Default: on where keys are given and no \
        issuer is named, which is a 0.x configuration; else off.").prominent(),
    option("legacy.publisher_jwt_key", Kind::Text, "", "As `auth.publisher_jwt_key`, but for publishers' tokens of version \
        0.x only, beside issuers that are named.").secret(),
    option("legacy.publisher_jwt_alg", Kind::Text, "HS256", "Its only algorithm.").no_flag(),
    option("legacy.publisher_jwks", Kind::Text, "", "Instead of that key: a JWK set.").no_flag(),
    option("legacy.publisher_jwks_algs", Kind::List, "", "The algorithms allowed with that set.").no_flag(),
    option("legacy.subscriber_jwt_key", Kind::Text, "", "The same for subscribers' tokens of version 0.x.").secret(),
    option("legacy.subscriber_jwt_alg", Kind::Text, "HS256", "Its only algorithm.").no_flag(),
    option("legacy.subscriber_jwks", Kind::Text, "", "Instead of that key: a JWK set.").no_flag(),
    option("legacy.subscriber_jwks_algs", Kind::List, "", "The algorithms allowed with that set.").no_flag(),
    option("auth.cookie_name", Kind::Text, "__Secure-mercure_access_token", "The cookie that carries a browser's token."),
    option("auth.publish_origins", Kind::List, "", "Origins whose pages may publish with the cookie, or `*`."),
    option("cors.origins", Kind::List, "", "Origins whose pages may read answers: `https://app.example.com`, \
        `https://*.example.com`, or `*` for all (then never with cookies).").prominent(),
    // The log underneath.
    option("transport.url", Kind::Text, "", "Where updates are kept: `local://` (nowhere), `sqlite:///path/petasos.db`, \
        `bolt:///path/mercure.db`, `redis://host:6379`, `nats://host:4222`, or `postgres://user@host/database`. Default: SQLite \
        in `/data/petasos.db` where `/data` can be written, else in `./petasos.db`.").drop_in("MERCURE_TRANSPORT_URL").or_file().prominent(),
    option("transport.sync", Kind::Choice(&["full", "normal"]), "full", "What an acknowledged publish survives: `full` \
        power loss, `normal` only the death of the process."),
    option("transport.bucket", Kind::Text, "updates", "The bucket in a Bolt file whose history is taken over."),
    option("history.size", Kind::Count, "1000000", "How many events are kept; 0 is no bound."),
    option("history.max_bytes", Kind::Size, "1GiB", "How many bytes of topics and data are kept; 0 is no bound."),
    option("history.max_age", Kind::Duration, "0s", "How long an event is kept; 0 is no bound."),
    // How the hub behaves.
    option("hub.subscriptions", Kind::Switch, "false", "Publish subscription events and serve the subscription API.")
        .prominent(),
    option("hub.heartbeat", Kind::Duration, "40s", "A comment is sent to a subscriber after so long without anything \
        else; 0 is never."),
    option("hub.write_timeout", Kind::Duration, "600s", "A subscriber's connection is closed after a random 80 to 100 % \
        of this, so that it connects again; 0 is never."),
    option("hub.dispatch_timeout", Kind::Duration, "5s", "How long a subscriber's socket may take no bytes before it is \
        disconnected; 0 is never."),
    option("hub.backlog", Kind::Size, "1MiB", "What one subscriber may have waiting before it is disconnected."),
    option("hub.backlog_total", Kind::Size, "256MiB", "What all subscribers together may have waiting; above it, those \
        with the most are disconnected. An event that waits for several is counted for each."),
    option("hub.event_loops", Kind::Count, "0", "Threads that deliver, among which the subscribers are shared; 0 is one \
        for each processor."),
    option("hub.recent", Kind::Size, "32MiB", "The newest events, kept in memory for subscribers that come back."),
    option("hub.fanout_lag", Kind::Size, "512KiB", "How far delivery may fall behind before publishers wait."),
    option("hub.publish_wait", Kind::Duration, "10s", "How long a publisher may have to wait before it is answered 503."),
    option("hub.lease", Kind::Duration, "15s", "How long the subscriptions of a process that died are still listed."),
    // Limits of requests.
    option("limits.body", Kind::Size, "1MiB", "Body of a publish, or of a `QUERY`; 0 is no limit."),
    option("limits.target", Kind::Size, "60KiB", "Path and query of a request; at most 60KiB."),
    option("limits.matchers", Kind::Count, "1000", "Matchers of one subscriber."),
    option("limits.matcher_length", Kind::Size, "8KiB", "Length of one matcher."),
    option("limits.topics", Kind::Count, "1000", "Topics of one update."),
    option("limits.field_length", Kind::Size, "8KiB", "Length of one topic, id or type."),
    option("limits.streams", Kind::Count, "0", "Subscribers in total; 0 is no limit. One over it is answered 429, after \
        which browsers do not come back by themselves."),
    option("limits.streams_per_address", Kind::Count, "0", "Subscribers with one client address; 0 is no limit."),
    option("limits.streams_per_subject", Kind::Count, "0", "Subscribers with one `sub` in their token; 0 is no limit."),
    option("limits.connections", Kind::Count, "0", "Connections in total; 0 is no limit."),
    // Listeners.
    option("server.trusted_proxies", Kind::List, "", "Addresses or networks whose `X-Forwarded-*` and `Forwarded` fields \
        are believed; `private` stands for loopback and private networks."),
    option("server.head_timeout", Kind::Duration, "10s", "How long a request head may take."),
    option("server.idle_timeout", Kind::Duration, "75s", "How long a connection may stay open between requests. Longer \
        than the 60 seconds of usual proxies, so that they close first."),
    option("server.peer_timeout", Kind::Duration, "30s", "After how long a peer that acknowledges nothing is given up."),
    option("server.drain_timeout", Kind::Duration, "10s", "How long open streams may take to end on shutdown, spread \
        evenly."),
    option("server.shutdown_delay", Kind::Duration, "0s", "How long requests are still accepted after readiness turned \
        false, for load balancers that look at it."),
    option("server.reuse_port", Kind::Switch, "false", "Let two processes listen on one port (`SO_REUSEPORT`)."),
    option("server.send_buffer", Kind::Size, "64KiB", "Kernel buffer of a connection (`SO_SNDBUF`); 0 leaves it to the \
        system."),
    option("admin.address", Kind::Text, "127.0.0.1:2019", "The admin listener with `/metrics` and health; `off` for \
        none.").drop_in("MERCURE_ADMIN_ADDRESS").prominent(),
    option("log.format", Kind::Choice(&["text", "json"]), "text", "Log lines for people or for machines.").prominent(),
    option("log.filter", Kind::Text, "info", "What is logged: `warn`, `debug`, `info,petasos_hub=debug`.").prominent(),
];
