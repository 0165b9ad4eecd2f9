//! The log: from a transport URL to an engine and its settings.

use std::path::{Path, PathBuf};

use percent_encoding::percent_decode_str;
use petasos_hub::transport::{
    Retention,
    remote::{Address, RemoteConfig},
    sqlite::{BoltSource, SqliteConfig, Sync},
};

use super::{
    TransportConfig,
    layers::{Layers, Raw},
    origin::Origin,
    problems::Problems,
    reader::Reader,
    suggest,
    surroundings::Files,
    value,
};

/// The directory of the container image's volume.
const DATA_DIRECTORY: &str = "/data";

/// The store when nothing is configured, in [`DATA_DIRECTORY`] or in the working directory.
const STORE_NAME: &str = "petasos.db";

/// Where the reference hub's image keeps its history when it is not told otherwise.
const USUAL_BOLT_FILES: [&str; 2] = ["/data/mercure.db", "/data/caddy/mercure.db"];

/// What is appended to the path of a Bolt file to name the store beside it.
const BOLT_STORE_SUFFIX: &str = ".sqlite";

/// Engines that exist, with the parameters of their URLs.
const ENGINES: [(&str, &[Parameter]); 3] =
    [("local", &[SUBSCRIPTIONS]), ("sqlite", SQLITE_PARAMETERS), ("bolt", BOLT_PARAMETERS)];

/// Schemes of engines that run as servers of their own.
const REMOTE_ENGINES: [RemoteEngine; 8] = [
    remote("redis", cfg!(feature = "redis"), REDIS.0, REDIS.1, 6379),
    remote("rediss", cfg!(feature = "redis"), REDIS.0, REDIS.1, 6379),
    remote("valkey", cfg!(feature = "redis"), REDIS.0, REDIS.1, 6379),
    remote("valkeys", cfg!(feature = "redis"), REDIS.0, REDIS.1, 6379),
    remote("nats", cfg!(feature = "nats"), NATS.0, NATS.1, 4222),
    remote("tls", cfg!(feature = "nats"), NATS.0, NATS.1, 4222),
    remote("postgres", cfg!(feature = "postgres"), POSTGRES.0, POSTGRES.1, 5432),
    remote("postgresql", cfg!(feature = "postgres"), POSTGRES.0, POSTGRES.1, 5432),
];

/// The parameters of an engine, and how an address with them is checked.
type Settings = (&'static [&'static str], fn(&RemoteConfig) -> Result<(), String>);

#[cfg(feature = "redis")]
const REDIS: Settings = (petasos_hub::transport::redis::PARAMETERS, |config| {
    petasos_hub::transport::redis::RedisConfig::new(config).map(|_| ())
});
#[cfg(not(feature = "redis"))]
const REDIS: Settings = (&[], unchecked);
#[cfg(feature = "postgres")]
const POSTGRES: Settings = (petasos_hub::transport::postgres::PARAMETERS, |config| {
    petasos_hub::transport::postgres::PostgresConfig::new(config).map(|_| ())
});
#[cfg(not(feature = "postgres"))]
const POSTGRES: Settings = (&[], unchecked);
#[cfg(feature = "nats")]
const NATS: Settings = (petasos_hub::transport::nats::PARAMETERS, |config| {
    petasos_hub::transport::nats::NatsConfig::new(config).map(|_| ())
});
#[cfg(not(feature = "nats"))]
const NATS: Settings = (&[], unchecked);

/// Schemes of engines that are not part of any build.
const OTHER_ENGINES: [&str; 2] = ["kafka", "pulsar"];

/// An engine that runs as a server of its own.
#[derive(Clone, Copy, Debug)]
pub(super) struct RemoteEngine {
    scheme: &'static str,
    /// Whether it is part of this build.
    is_built: bool,
    /// The engine's own parameters, beside [`REMOTE_PARAMETERS`].
    parameters: &'static [&'static str],
    /// Says what is wrong with an address and its parameters, before anything connects.
    check: fn(&RemoteConfig) -> Result<(), String>,
    default_port: u16,
}

const fn remote(
    scheme: &'static str,
    is_built: bool,
    parameters: &'static [&'static str],
    check: fn(&RemoteConfig) -> Result<(), String>,
    default_port: u16,
) -> RemoteEngine {
    RemoteEngine { scheme, is_built, parameters, check, default_port }
}

/// Of an engine that is not part of this build.
#[cfg(not(all(feature = "redis", feature = "nats", feature = "postgres")))]
fn unchecked(_: &RemoteConfig) -> Result<(), String> {
    Ok(())
}

fn find_remote(scheme: &str) -> Option<&'static RemoteEngine> {
    static ENGINES: [RemoteEngine; REMOTE_ENGINES.len()] = REMOTE_ENGINES;
    ENGINES.iter().find(|engine| engine.scheme == scheme)
}

/// What a URL of a remote engine may say beside the engine's own parameters.
const REMOTE_PARAMETERS: &[Parameter] = &[
    parameter("size", "history.size"),
    parameter("max_age", "history.max_age"),
    parameter("max_bytes", "history.max_bytes"),
    SUBSCRIPTIONS,
];

/// A parameter in the query of a transport URL.
#[derive(Clone, Copy)]
struct Parameter {
    name: &'static str,
    /// The option it sets; `None` where it has no effect here.
    option: Option<&'static str>,
}

const fn parameter(name: &'static str, option: &'static str) -> Parameter {
    Parameter { name, option: Some(option) }
}

const SUBSCRIPTIONS: Parameter = parameter("subscriptions", "hub.subscriptions");

const SQLITE_PARAMETERS: &[Parameter] = &[
    parameter("size", "history.size"),
    parameter("max_age", "history.max_age"),
    parameter("max_bytes", "history.max_bytes"),
    parameter("sync", "transport.sync"),
    SUBSCRIPTIONS,
];

const BOLT_PARAMETERS: &[Parameter] = &[
    parameter("size", "history.size"),
    parameter("max_age", "history.max_age"),
    parameter("max_bytes", "history.max_bytes"),
    parameter("sync", "transport.sync"),
    parameter("bucket_name", "transport.bucket"),
    Parameter { name: "cleanup_frequency", option: None },
    SUBSCRIPTIONS,
];

/// A transport URL taken apart.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Location {
    Embedded(Embedded),
    Remote(Address),
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Embedded {
    engine: Engine,
    path: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Engine {
    Local,
    Sqlite,
    Bolt,
}

/// Whether the engine of this name runs as a server of its own.
pub(super) fn is_remote(name: &str) -> bool {
    find_remote(name).is_some()
}

/// Whether `name` is an engine of this build.
pub(super) fn check_engine(name: &str) -> Result<(), String> {
    if ENGINES.iter().any(|(known, _)| *known == name) {
        return Ok(());
    }
    let remote = REMOTE_ENGINES.iter().filter(|engine| engine.is_built).map(|engine| engine.scheme);
    let known: Vec<_> = ENGINES.iter().map(|(known, _)| *known).chain(remote).collect();
    if known.contains(&name) {
        return Ok(());
    }
    if OTHER_ENGINES.contains(&name) || is_remote(name) {
        return Err(format!(
            "the engine {name} is not part of this build: there are {}",
            value::any_of(&known)
        ));
    }
    let hint = suggest::hint(name, known.iter().copied())
        .unwrap_or_else(|| format!(": there are {}", value::any_of(&known)));
    Err(format!("unknown engine {name}{hint}"))
}

/// Takes the transport URL in force apart. The parameters of its query become settings of their own, which lose to
/// options that were set by name in the same layer.
pub(super) fn read_url(layers: &mut Layers, problems: &mut Problems) -> Option<Location> {
    let Some(setting) = layers.get("transport.url").cloned() else {
        return Some(Location::default());
    };
    let origin = setting.origin;
    let Raw::One(url) = setting.value else {
        problems.at(&origin, "one URL is expected, not several");
        return None;
    };
    if let Some(address) = problems.check(&origin, split_remote(url.trim()))? {
        return problems.check(&origin, take_settings(address, layers, &origin)).map(Location::Remote);
    }
    let (location, query) = problems.check(&origin, split(url.trim()))?;
    let mut without_effect = Vec::new();
    for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
        match problems.check(&origin, find_parameter(location.engine, &name)) {
            None => {}
            Some(Parameter { name, option: Some(option) }) => {
                let origin = Origin::Query { parameter: name.to_owned(), of: Box::new(origin.clone()) };
                layers.set(option, Raw::One(value.into_owned()), origin);
            }
            Some(Parameter { name, option: None }) => without_effect.push(name),
        }
    }
    if !without_effect.is_empty() {
        let names = without_effect.join(", ");
        problems.note(format!("{origin}: {names}: accepted without effect, retention here is exact"));
    }
    Some(Location::Embedded(location))
}

impl Default for Location {
    fn default() -> Self {
        Self::Embedded(Embedded { engine: Engine::Sqlite, path: None })
    }
}

/// The address of an engine that runs as a server of its own; `None` for another engine.
fn split_remote(url: &str) -> Result<Option<Address>, String> {
    let scheme = url.split_once(':').map(|(scheme, _)| scheme.to_ascii_lowercase()).unwrap_or_default();
    if !is_remote(&scheme) {
        return Ok(None);
    }
    check_engine(&scheme)?;
    Address::parse(url).map(Some)
}

/// Takes the hub's own settings out of the query and leaves those of the engine.
fn take_settings(mut address: Address, layers: &mut Layers, origin: &Origin) -> Result<Address, String> {
    for Parameter { name, option } in REMOTE_PARAMETERS {
        if let (Some(value), Some(option)) = (address.take(name), option) {
            let origin = Origin::Query { parameter: (*name).to_owned(), of: Box::new(origin.clone()) };
            layers.set(option, Raw::One(value.expose().to_owned()), origin);
        }
    }
    let own = find_remote(&address.scheme).map(|engine| engine.parameters).unwrap_or_default();
    if let Some(unknown) = address.left().find(|name| !own.contains(name)) {
        let names: Vec<_> =
            REMOTE_PARAMETERS.iter().map(|parameter| parameter.name).chain(own.iter().copied()).collect();
        return Err(unknown_parameter(&address.scheme, unknown, &names));
    }
    Ok(address)
}

fn unknown_parameter(engine: &str, name: &str, names: &[&str]) -> String {
    // What does not look like a name may be a part of a password.
    let is_name = name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    let name = if is_name { name } else { "of this name" };
    let hint = suggest::hint(name, names.iter().copied())
        .unwrap_or_else(|| format!("; it may have {}", value::any_of(names)));
    format!("{engine}:// has no parameter {name}{hint}")
}

/// Splits a URL into what it locates and its query. Errors never quote it: a URL may carry credentials.
fn split(url: &str) -> Result<(Embedded, &str), String> {
    let schemes = "write local://, sqlite:///path/petasos.db or bolt:///path/mercure.db";
    let (scheme, rest) = url.split_once(':').ok_or_else(|| format!("this is no URL: {schemes}"))?;
    let is_scheme =
        |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    if scheme.is_empty() || !is_scheme(scheme) {
        return Err(format!("this is no URL: {schemes}"));
    }
    let scheme = scheme.to_ascii_lowercase();
    check_engine(&scheme)?;
    let engine = match scheme.as_str() {
        "local" => Engine::Local,
        "bolt" => Engine::Bolt,
        _ => Engine::Sqlite,
    };
    let rest = rest.split_once('#').map_or(rest, |(before, _)| before);
    let (location, query) = rest.split_once('?').unwrap_or((rest, ""));
    // Without a third slash the path is relative: `bolt://mercure.db`, `sqlite:petasos.db`.
    let path = location.strip_prefix("//").unwrap_or(location);
    let path = percent_decode_str(path).decode_utf8().map_err(|_| "the path is not UTF-8".to_owned())?;
    if path.contains('\0') {
        return Err("the path contains a null character".to_owned());
    }
    if path.ends_with('/') {
        return Err("the path names a directory, not a file".to_owned());
    }
    let path = (engine != Engine::Local && !path.is_empty()).then(|| PathBuf::from(path.as_ref()));
    Ok((Embedded { engine, path }, query))
}

fn find_parameter(engine: Engine, name: &str) -> Result<Parameter, String> {
    let (engine, parameters) = match engine {
        Engine::Local => ENGINES[0],
        Engine::Sqlite => ENGINES[1],
        Engine::Bolt => ENGINES[2],
    };
    parameters.iter().find(|parameter| parameter.name == name).copied().ok_or_else(|| {
        let names: Vec<_> = parameters.iter().map(|parameter| parameter.name).collect();
        unknown_parameter(engine, name, &names)
    })
}

/// Makes the log's configuration. `location` is `None` where the URL was wrong; the settings are checked nevertheless.
pub(super) fn build(
    reader: &mut Reader<'_>,
    location: Option<Location>,
    files: &dyn Files,
) -> TransportConfig {
    let location = location.unwrap_or_default();
    let age = reader.duration("history.max_age");
    let mut retention = Retention {
        events: reader.count("history.size"),
        bytes: reader.size("history.max_bytes"),
        age: (!age.is_zero()).then_some(age),
    };
    let sync = match reader.choice("transport.sync", &["full", "normal"]) {
        "normal" => Sync::Normal,
        _ => Sync::Full,
    };
    let bucket = reader.text("transport.bucket").unwrap_or_default();
    let location = match location {
        Location::Embedded(location) => location,
        Location::Remote(address) => return build_remote(reader, address, retention),
    };
    if location.engine == Engine::Local {
        for option in ["history.size", "history.max_age", "history.max_bytes", "transport.sync"] {
            let origin = reader.origin(option);
            if origin.is_explicit() {
                reader.problems.warn(format!("{origin}: {option} has no effect, local:// keeps no history"));
            }
        }
        return TransportConfig::Local;
    }
    // For the reference hub a size of 0 means that everything is kept; our bound in bytes must not undercut that
    // unless somebody set it.
    if location.engine == Engine::Bolt
        && retention.events == 0
        && !reader.origin("history.max_bytes").is_explicit()
    {
        retention.bytes = 0;
    }
    warn_about_bounds(reader, &retention);
    let (path, bolt) = match (location.engine, location.path) {
        (Engine::Bolt, Some(path)) => {
            let mut store = path.clone().into_os_string();
            store.push(BOLT_STORE_SUFFIX);
            (PathBuf::from(store), Some(path))
        }
        (_, Some(path)) => (path, None),
        (_, None) => {
            let bolt = USUAL_BOLT_FILES.map(PathBuf::from).into_iter().find(|path| files.is_file(path));
            (default_store(files), bolt)
        }
    };
    let bolt = bolt.map(|source| {
        reader.problems.note(format!(
            "the history is kept in {}; that of {} is taken over, and the file never written",
            path.display(),
            source.display()
        ));
        BoltSource { path: source, bucket }
    });
    TransportConfig::Sqlite(SqliteConfig { path, sync, retention, bolt })
}

/// A log on a server.
fn build_remote(reader: &mut Reader<'_>, address: Address, retention: Retention) -> TransportConfig {
    warn_about_bounds(reader, &retention);
    let config = RemoteConfig { address, retention: Some(retention) };
    let sync = reader.origin("transport.sync");
    if sync.is_explicit() {
        let scheme = &config.address.scheme;
        reader.problems.warn(format!(
            "{sync}: transport.sync has no effect, the configuration of the server behind {scheme}:// decides"
        ));
    }
    if let Some(engine) = find_remote(&config.address.scheme)
        && let Err(error) = (engine.check)(&config)
    {
        let origin = reader.origin("transport.url");
        reader.problems.at(&origin, error);
    }
    TransportConfig::Remote(config)
}

/// An explicit 0 is taken at its word, but a disk has an end.
fn warn_about_bounds(reader: &mut Reader<'_>, retention: &Retention) {
    for (option, is_zero, what) in [
        ("history.size", retention.events == 0, "events"),
        ("history.max_bytes", retention.bytes == 0, "bytes"),
    ] {
        let origin = reader.origin(option);
        if is_zero && origin.is_explicit() {
            reader.problems.warn(format!("{origin}: the history has no bound in {what}"));
        }
    }
    if retention.events == 0 && retention.bytes == 0 && retention.age.is_none() {
        reader.problems.warn("nothing bounds the history but the size of its disk");
    }
}

/// `/data/petasos.db` where there is a volume that can be written, else `./petasos.db`.
fn default_store(files: &dyn Files) -> PathBuf {
    let data = Path::new(DATA_DIRECTORY);
    if files.is_writable_directory(data) { data.join(STORE_NAME) } else { PathBuf::from(STORE_NAME) }
}

impl TransportConfig {
    /// The URL that means this log, without its parameters. For people.
    pub(super) fn url(&self) -> String {
        match self {
            Self::Local => "local://".to_owned(),
            Self::Sqlite(store) => format!("sqlite://{}", store.path.display()),
            Self::Remote(remote) => {
                let port = find_remote(&remote.address.scheme).map_or(0, |engine| engine.default_port);
                remote.address.shown(port)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn location(engine: Engine, path: &str) -> Embedded {
        Embedded { engine, path: (!path.is_empty()).then(|| PathBuf::from(path)) }
    }

    #[test]
    fn paths_are_relative_or_absolute_and_decoded() {
        for (url, engine, path) in [
            ("local://", Engine::Local, ""),
            ("local://local", Engine::Local, ""),
            ("local:", Engine::Local, ""),
            ("bolt://mercure.db", Engine::Bolt, "mercure.db"),
            ("bolt://var/run/mercure.db", Engine::Bolt, "var/run/mercure.db"),
            ("bolt:///var/run/mercure.db?size=5", Engine::Bolt, "/var/run/mercure.db"),
            ("bolt:mercure.db", Engine::Bolt, "mercure.db"),
            ("bolt://", Engine::Bolt, ""),
            ("SQLITE:///data/my%20hub%3F.db", Engine::Sqlite, "/data/my hub?.db"),
            ("sqlite://Upper.db", Engine::Sqlite, "Upper.db"),
            ("sqlite://", Engine::Sqlite, ""),
        ] {
            assert_eq!(split(url).map(|(location, _)| location), Ok(location(engine, path)), "{url}");
        }
    }

    #[test]
    fn what_is_no_transport_url_is_refused_without_quoting_it() {
        for url in [
            "",
            "petasos.db",
            "/data/petasos.db",
            ":///x",
            "sqlite:///data/",
            "sqlite:///%FF",
            "sqlite:///a%00b",
            "kafka://user:hunter2@host",
            "pulsar://user:hunter2@host/db",
            "sqlit:///x?hunter2",
            "user:hunter2@host",
        ] {
            let error = split(url).expect_err(url);
            assert!(!error.contains("hunter2"), "{error}");
        }
    }
}
