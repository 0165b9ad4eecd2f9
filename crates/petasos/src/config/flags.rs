//! The flags: one for every option but keys and issuers, made from the table of options.

use std::collections::BTreeMap;

use clap::{Arg, ArgAction, ArgMatches, Command, error::ErrorKind};

use super::{
    layers::{Layers, Raw},
    options::{Kind, OPTIONS, OptionSpec},
    origin::Origin,
};

/// The heading of these flags in help texts.
const HEADING: &str = "Configuration";

/// What was given as flags, by option. Nothing in it is checked yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OptionFlags {
    values: BTreeMap<&'static str, Vec<String>>,
}

impl OptionFlags {
    /// As if the flag of `option`, such as `transport.url`, had been given.
    ///
    /// Returns `false` where there is no such option, or it has no flag.
    pub fn set(&mut self, option: &str, value: impl Into<String>) -> bool {
        let Some(option) = OPTIONS.iter().find(|known| known.path == option && known.flag) else {
            return false;
        };
        self.values.entry(option.path).or_default().push(value.into());
        true
    }

    pub(super) fn read(&self, layers: &mut Layers) {
        for option in OPTIONS {
            let (Some(values), Some(flag)) = (self.values.get(option.path), option.flag_name()) else {
                continue;
            };
            let value = Raw::One(values.join(","));
            layers.set(option.path, value, Origin::Flag(flag));
        }
    }
}

impl clap::Args for OptionFlags {
    fn augment_args(command: Command) -> Command {
        OPTIONS.iter().filter_map(flag).fold(command, Command::arg)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl clap::FromArgMatches for OptionFlags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut flags = Self::default();
        flags.update_from_arg_matches(matches)?;
        Ok(flags)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        for option in OPTIONS.iter().filter(|option| option.flag) {
            let given = matches
                .try_get_many::<String>(option.path)
                .map_err(|error| clap::Error::raw(ErrorKind::UnknownArgument, error.to_string()))?;
            if let Some(values) = given {
                self.values.insert(option.path, values.cloned().collect());
            }
        }
        Ok(())
    }
}

fn flag(option: &'static OptionSpec) -> Option<Arg> {
    let name = option.flag_name()?;
    let default = if option.default.is_empty() || option.kind == Kind::Switch {
        String::new()
    } else {
        format!(" [default: {}]", option.default)
    };
    // Help is no Markdown.
    let help = format!("{}{default}", option.doc.trim_end_matches('.').replace('`', ""));
    let arg = Arg::new(option.path)
        .long(name)
        .help(help)
        .help_heading(HEADING)
        .hide_short_help(!option.prominent)
        .value_name(option.kind.name().to_ascii_uppercase());
    Some(match option.kind {
        // `--anonymous` and `--anonymous=false`, but never `--anonymous false`, which would swallow an argument.
        Kind::Switch => {
            arg.num_args(0..=1).require_equals(true).default_missing_value("true").value_name("SWITCH")
        }
        Kind::List => arg.action(ArgAction::Append),
        Kind::Choice(names) => arg.value_parser(clap::builder::PossibleValuesParser::new(names)),
        _ => arg,
    })
}

#[cfg(test)]
mod tests {
    use clap::{Args, FromArgMatches};

    use super::*;

    fn parse(arguments: &[&str]) -> Result<OptionFlags, clap::Error> {
        let command = OptionFlags::augment_args(Command::new("petasos"));
        let matches = command.try_get_matches_from([&["petasos"], arguments].concat())?;
        OptionFlags::from_arg_matches(&matches)
    }

    #[test]
    fn the_command_is_well_formed() {
        OptionFlags::augment_args(Command::new("petasos")).debug_assert();
    }

    #[test]
    fn switches_stand_alone_and_lists_may_be_repeated() {
        let mut expected = OptionFlags::default();
        assert!(expected.set("auth.anonymous", "true"));
        assert!(expected.set("hub.subscriptions", "false"));
        assert!(expected.set("cors.origins", "https://a.example"));
        assert!(expected.set("cors.origins", "https://b.example,https://c.example"));
        let parsed = parse(&[
            "--anonymous",
            "--subscriptions=false",
            "--cors-origins",
            "https://a.example",
            "--cors-origins=https://b.example,https://c.example",
        ]);
        assert_eq!(parsed.expect("flags"), expected);
    }

    #[test]
    fn keys_and_issuers_are_no_flags() {
        assert!(!OptionFlags::default().set("auth.publisher_jwt_key", "secret"));
        assert!(parse(&["--publisher-jwt-key", "secret"]).is_err());
        assert!(parse(&["--issuers", "[]"]).is_err());
    }

    #[test]
    fn a_scalar_cannot_be_given_twice() {
        assert!(parse(&["--heartbeat", "1s", "--heartbeat", "2s"]).is_err());
    }
}
