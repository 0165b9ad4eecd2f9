//! Every option of the table in every layer in which it has a name.

use std::{collections::BTreeMap, path::PathBuf};

use super::{
    ConfigArgs, Environment, MemoryFiles, Surroundings, load_from,
    options::{Kind, OPTIONS, OptionSpec},
    report::Entry,
};

/// A value other than the default.
fn sample(option: &OptionSpec) -> &'static str {
    match option.path {
        "listen" => "127.0.0.1:81",
        "resource_identifier" => "https://hub.example.com/.well-known/mercure",
        "protocol_version_compatibility" => "7",
        "auth.publisher_jwt_key"
        | "auth.subscriber_jwt_key"
        | "legacy.publisher_jwt_key"
        | "legacy.subscriber_jwt_key" => "a-secret-of-more-than-thirty-two-bytes",
        "auth.publisher_jwks"
        | "auth.subscriber_jwks"
        | "legacy.publisher_jwks"
        | "legacy.subscriber_jwks" => "https://id.example.com/jwks",
        "auth.publisher_jwt_alg"
        | "auth.subscriber_jwt_alg"
        | "legacy.publisher_jwt_alg"
        | "legacy.subscriber_jwt_alg" => "HS384",
        "auth.publisher_jwks_algs"
        | "auth.subscriber_jwks_algs"
        | "legacy.publisher_jwks_algs"
        | "legacy.subscriber_jwks_algs" => "RS256",
        "auth.publish_origins" | "cors.origins" | "public_urls" => "https://app.example.com",
        "server.trusted_proxies" => "10.0.0.0/8",
        "transport.url" => "sqlite:///srv/hub.db",
        "transport.sync" => "normal",
        "admin.address" => ":2020",
        "log.format" => "json",
        "log.filter" => "debug",
        _ => match option.kind {
            Kind::Switch => "true",
            Kind::Count => "17",
            Kind::Duration => "17s",
            Kind::Size => "17KiB",
            Kind::Path => "/files/sample.pem",
            Kind::Text | Kind::List | Kind::Choice(_) | Kind::Issuers => "sample",
        },
    }
}

/// Lines of the configuration file without which the option makes no sense.
fn companions(option: &OptionSpec) -> &'static str {
    match option.path {
        "tls.cert" => "tls.key = '/files/sample.pem'\n",
        "tls.key" => "tls.cert = '/files/sample.pem'\n",
        "auth.issuer" => "auth.publisher_jwt_key = 'a-secret-of-more-than-thirty-two-bytes'\n",
        "auth.publisher_jwt_key"
        | "auth.subscriber_jwt_key"
        | "auth.publisher_jwks"
        | "auth.subscriber_jwks" => "auth.issuer = 'https://app.example.com'\n",
        _ => "",
    }
}

/// The entry of `option` where demo mode, a file and these variables and flags are given.
#[track_caller]
fn entry(option: &OptionSpec, file: &str, variables: &[(String, &str)], mut args: ConfigArgs) -> Entry {
    if option.path != "dev" {
        args.options.set("dev", "true");
    }
    let files = BTreeMap::from([
        (PathBuf::from("/files/sample.pem"), String::new()),
        (PathBuf::from("/files/value"), format!("{}\n", sample(option))),
        (PathBuf::from("petasos.toml"), format!("{}{file}", companions(option))),
    ]);
    let environment: Environment = variables.iter().map(|(name, value)| (name.as_str(), *value)).collect();
    let files = MemoryFiles { files, writable: Vec::new() };
    let loaded =
        load_from(&args, &Surroundings { environment, files }).unwrap_or_else(|errors| panic!("{errors}"));
    loaded.entries.into_iter().find(|entry| entry.option == option.path).expect("every option has an entry")
}

#[track_caller]
fn assert_entry(option: &OptionSpec, entry: &Entry, source: &str) {
    let value = if option.secret { "[redacted]" } else { sample(option) };
    assert_eq!((entry.value.as_str(), entry.source.as_str()), (value, source), "{}", option.path);
}

fn simple_options() -> impl Iterator<Item = &'static OptionSpec> {
    OPTIONS.iter().filter(|option| option.kind != Kind::Issuers)
}

#[test]
fn every_option_can_be_set_in_the_file() {
    for option in simple_options() {
        let line = companions(option).lines().count() + 1;
        let file = format!("{} = '{}'", option.path, sample(option));
        let read = entry(option, &file, &[], ConfigArgs::default());
        assert_entry(option, &read, &format!("petasos.toml:{line}"));
    }
}

#[test]
fn every_option_is_one_variable() {
    for option in simple_options() {
        let read = entry(option, "", &[(option.variable(), sample(option))], ConfigArgs::default());
        assert_entry(option, &read, &option.variable());
    }
}

#[test]
fn every_variable_of_the_image_sets_its_option() {
    let drop_ins: Vec<_> = simple_options().filter(|option| option.drop_in.is_some()).collect();
    assert_eq!(drop_ins.len(), 9);
    for option in drop_ins {
        let variable = option.drop_in.expect("a variable");
        let read = if variable == "SERVER_NAME" {
            // In demo mode, which the other cases use, it would name an address that others can reach.
            continue;
        } else {
            entry(option, "", &[(variable.to_owned(), sample(option))], ConfigArgs::default())
        };
        assert_entry(option, &read, variable);
    }
}

#[test]
fn secrets_are_read_from_files_as_well() {
    let from_files: Vec<_> = simple_options().filter(|option| option.or_file).collect();
    assert_eq!(from_files.len(), 5);
    for option in from_files {
        for variable in [Some(option.variable()), option.drop_in.map(str::to_owned)].into_iter().flatten() {
            let variable = format!("{variable}_FILE");
            let read = entry(option, "", &[(variable.clone(), "/files/value")], ConfigArgs::default());
            assert_entry(option, &read, &variable);
        }
        let line = companions(option).lines().count() + 1;
        let read =
            entry(option, &format!("{}_file = '/files/value'", option.path), &[], ConfigArgs::default());
        assert_entry(option, &read, &format!("petasos.toml:{line}"));
    }
}

#[test]
fn every_option_but_keys_and_issuers_is_a_flag() {
    for option in simple_options() {
        let mut args = ConfigArgs::default();
        let Some(flag) = option.flag_name() else {
            let of_keys = ["auth.", "legacy."].iter().any(|section| option.path.starts_with(section));
            assert!(of_keys, "{}", option.path);
            continue;
        };
        assert!(args.options.set(option.path, sample(option)));
        let read = entry(option, "", &[], args);
        assert_entry(option, &read, &format!("--{flag}"));
    }
}

#[test]
fn no_configuration_makes_reading_panic() {
    use rand::{Rng, SeedableRng, rngs::StdRng, seq::IndexedRandom};
    let pieces = [
        "{",
        "}",
        "{$",
        "{env.A}",
        "{env.",
        "\"",
        "`",
        "\\",
        "\n",
        "\r\n",
        " ",
        "#",
        "<<",
        "transport",
        "issuer",
        "publisher",
        "jwt",
        "bolt",
        "://",
        "/",
        ":",
        "[",
        "]",
        "%",
        "%FF",
        "?",
        "&",
        "=",
        "size",
        "heartbeat",
        "1",
        ".",
        "99999999999999999999",
        "s",
        "µs",
        "KiB",
        "é",
        "\u{0}",
        ",",
        "-",
        "*",
        "@",
        "'",
        "true",
        "name",
        "hub",
        "auth",
    ];
    let mut random = StdRng::seed_from_u64(3);
    for _ in 0..800 {
        let length = random.random_range(0..24);
        let text: String = (0..length).filter_map(|_| pieces.choose(&mut random)).copied().collect();
        for variable in [
            "MERCURE_EXTRA_DIRECTIVES",
            "MERCURE_TRANSPORT_URL",
            "SERVER_NAME",
            "PETASOS_LISTEN",
            "PETASOS_HEARTBEAT",
        ]
        .into_iter()
        .chain([
            "PETASOS_LIMITS_BODY",
            "PETASOS_ISSUERS",
            "PETASOS_CORS_ORIGINS",
            "PETASOS_PUBLIC_URLS",
        ]) {
            let environment: Environment = [(variable, text.as_str()), ("A", "x y")].into_iter().collect();
            let files = MemoryFiles {
                files: BTreeMap::from([(PathBuf::from("petasos.toml"), text.clone())]),
                writable: Vec::new(),
            };
            let errors = match load_from(&ConfigArgs::default(), &Surroundings { environment, files }) {
                Ok(_) => continue,
                Err(errors) => errors,
            };
            assert!(errors.0.iter().all(|error| !error.is_empty()), "{variable}={text:?}");
        }
    }
}
