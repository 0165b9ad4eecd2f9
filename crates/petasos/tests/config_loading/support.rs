//! Sentences for arranging a configuration.

use std::path::PathBuf;

use petasos::config::{
    Config, ConfigArgs, Environment, Loaded, MemoryFiles, Surroundings, TransportConfig, load_from,
};
use petasos_hub::transport::sqlite::SqliteConfig;

pub(crate) const SECRET: &str = "a-secret-of-more-than-thirty-two-bytes";
pub(crate) const ISSUER: &str = "https://app.example.com";

/// What a configuration is read from.
#[derive(Clone, Default)]
pub(crate) struct Given {
    variables: Vec<(String, String)>,
    files: MemoryFiles,
    args: ConfigArgs,
}

/// Nothing at all.
pub(crate) fn nothing() -> Given {
    Given::default()
}

/// The least that a hub needs: an issuer with keys for both roles.
pub(crate) fn keys() -> Given {
    nothing()
        .variable("MERCURE_TRUSTED_ISSUERS", ISSUER)
        .variable("MERCURE_PUBLISHER_JWT_KEY", SECRET)
        .variable("MERCURE_SUBSCRIBER_JWT_KEY", SECRET)
}

/// Keys and these directives.
pub(crate) fn directives(text: &str) -> Given {
    keys().variable("MERCURE_EXTRA_DIRECTIVES", text)
}

impl Given {
    pub(crate) fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn file(mut self, path: &str, content: &str) -> Self {
        self.files.files.insert(PathBuf::from(path), content.to_owned());
        self
    }

    /// A configuration file in the working directory.
    pub(crate) fn toml(self, content: &str) -> Self {
        self.file("petasos.toml", content)
    }

    pub(crate) fn writable(mut self, directory: &str) -> Self {
        self.files.writable.push(PathBuf::from(directory));
        self
    }

    pub(crate) fn flag(mut self, option: &str, value: &str) -> Self {
        assert!(self.args.options.set(option, value), "{option} has a flag");
        self
    }

    pub(crate) fn config_flag(mut self, path: &str) -> Self {
        self.args.config = Some(PathBuf::from(path));
        self
    }

    fn read(&self) -> Result<Loaded, Vec<String>> {
        let environment: Environment = self.variables.iter().cloned().collect();
        let surroundings = Surroundings { environment, files: self.files.clone() };
        load_from(&self.args, &surroundings).map_err(|errors| errors.0)
    }

    #[track_caller]
    pub(crate) fn load(&self) -> Loaded {
        self.read().unwrap_or_else(|errors| panic!("the configuration has errors:\n{}", errors.join("\n")))
    }

    #[track_caller]
    pub(crate) fn config(&self) -> Config {
        self.load().config
    }

    /// All errors, one line each.
    #[track_caller]
    pub(crate) fn errors(&self) -> String {
        match self.read() {
            Ok(_) => panic!("the configuration has no error"),
            Err(errors) => errors.join("\n"),
        }
    }

    /// All notices, one line each.
    #[track_caller]
    pub(crate) fn notices(&self) -> String {
        let shown = |notice: &petasos::config::Notice| {
            format!("{}: {}", if notice.warning { "warning" } else { "note" }, notice.text)
        };
        self.config().notices.iter().map(shown).collect::<Vec<_>>().join("\n")
    }

    /// The addresses listened on.
    #[track_caller]
    pub(crate) fn addresses(&self) -> Vec<String> {
        self.config().listeners.into_iter().map(|listener| listener.address).collect()
    }

    #[track_caller]
    pub(crate) fn store(&self) -> SqliteConfig {
        match self.config().transport {
            TransportConfig::Sqlite(store) => store,
            other => panic!("not the embedded store: {other:?}"),
        }
    }

    /// Value and source of an option, as `check --print` shows them.
    #[track_caller]
    pub(crate) fn printed(&self, option: &str) -> (String, String) {
        let entries = self.load().entries;
        let entry = entries.into_iter().find(|entry| entry.option == option).expect("an option of this name");
        (entry.value, entry.source)
    }
}
