//! Demo mode, `--dev`: what it sets beneath everything that is configured, and what it insists on.

use petasos_hub::auth::Secret;

use super::{
    DevMode, Listener,
    layers::{Layers, Raw},
    listen,
    origin::Origin,
    problems::Problems,
    reader::Reader,
};

/// The demo secret. It is the same everywhere, so that a token once pasted outlives a restart, and so it protects nothing:
/// demo mode only ever listens on loopback addresses.
const SECRET: &str = "petasos-demo-secret-known-to-everybody-for-local-use-only";

/// The issuer of demo tokens.
const ISSUER: &str = "https://petasos-demo.localhost";

/// What demo mode sets, unless it is configured otherwise.
const SETTINGS: [(&str, &str); 5] = [
    ("listen", "localhost:3000"),
    ("auth.anonymous", "true"),
    ("hub.subscriptions", "true"),
    // Any page may read, none with credentials (S14): a list with `*` can have no others beside it.
    ("cors.origins", "*"),
    ("transport.url", "sqlite://petasos.db"),
];

/// Turns demo mode on if it is asked for.
pub(super) fn apply(layers: &mut Layers, problems: &mut Problems) -> Option<DevMode> {
    if !(Reader { layers, problems }).switch("dev") {
        return None;
    }
    for (option, value) in SETTINGS {
        layers.set(option, Raw::One(value.to_owned()), Origin::Dev);
    }
    problems.warn("demo mode: its key is public; keep nothing here that matters, and never expose it");
    Some(DevMode { secret: Secret::new(SECRET), issuer: ISSUER.to_owned() })
}

/// Refuses every address that another machine could reach.
pub(super) fn check(listeners: &[Listener], reader: &mut Reader<'_>) {
    let origin = reader.origin("listen");
    for listener in listeners.iter().filter(|listener| !listen::is_loopback(listener)) {
        let address = &listener.address;
        reader.problems.at(
            &origin,
            format!(
                "--dev accepts tokens that anybody can mint, so it listens on loopback addresses only, not on {address}: \
                 write PETASOS_LISTEN=localhost:3000, or configure keys and leave --dev out"
            ),
        );
    }
}
