//! The configuration file: finding it, and checking its keys against the table of options.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    ConfigArgs,
    document::{Node, NodeValue, parse_toml},
    environment::{CONFIG_VARIABLE, read_value_file},
    issuers,
    layers::{Layers, Raw},
    options::{FILE_SUFFIX, Kind, OPTIONS, OptionSpec},
    origin::Origin,
    problems::Problems,
    suggest,
    surroundings::{Environment, Files},
};

/// Where a configuration file is looked for when none is named; the first that is there is read.
pub(super) const USUAL_PLACES: [&str; 2] = ["petasos.toml", "/etc/petasos/petasos.toml"];

/// Reads the configuration file into `layers`, if there is one.
pub(super) fn read(
    args: &ConfigArgs,
    environment: &Environment,
    files: &dyn Files,
    layers: &mut Layers,
    problems: &mut Problems,
) {
    let named = match (&args.config, environment.get(CONFIG_VARIABLE)) {
        (Some(path), _) => Some((path.clone(), Origin::Flag("config".to_owned()))),
        (None, Some(path)) => Some((PathBuf::from(path), Origin::Variable(CONFIG_VARIABLE.to_owned()))),
        (None, None) => None,
    };
    if let Some((path, origin)) = named {
        match files.read(&path) {
            Ok(text) => read_text(&text, path, files, layers, problems),
            Err(error) => problems.at(&origin, format!("{} cannot be read: {error}", path.display())),
        }
        return;
    }
    for path in USUAL_PLACES.map(PathBuf::from) {
        match files.read(&path) {
            Ok(text) => return read_text(&text, path, files, layers, problems),
            Err(error) if is_absent(&error) => {}
            Err(error) => return problems.error(format!("{} cannot be read: {error}", path.display())),
        }
    }
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

fn read_text(text: &str, path: PathBuf, files: &dyn Files, layers: &mut Layers, problems: &mut Problems) {
    let (document, errors) = parse_toml(text, &Arc::new(path));
    for (origin, error) in errors {
        problems.at(&origin, error);
    }
    FileReader { files, layers, problems }.table("", &document);
}

struct FileReader<'a> {
    files: &'a dyn Files,
    layers: &'a mut Layers,
    problems: &'a mut Problems,
}

impl FileReader<'_> {
    /// Reads the keys of a table whose path, with a point at its end, is `prefix`.
    fn table(&mut self, prefix: &str, node: &Node) {
        let NodeValue::Table(entries) = &node.value else { return };
        let present: Vec<&str> = entries.iter().map(|(key, _)| key.as_str()).collect();
        for (key, value) in entries {
            let path = format!("{prefix}{key}");
            if let Some(option) = super::options::find(&path) {
                self.option(option, value);
            } else if let Some(option) = option_of_file_key(&path) {
                if present.contains(&key.trim_end_matches("_file")) {
                    self.problems.at(&value.origin, format!("{} is given as {path} as well", option.path));
                } else {
                    self.value_file(option, value);
                }
            } else if is_section(&path) {
                match value.value {
                    NodeValue::Table(_) => self.table(&format!("{path}."), value),
                    _ => self.problems.at(&value.origin, format!("{path} is a table: write [{path}]")),
                }
            } else {
                self.problems.at(&value.origin, format!("{path} is not known{}", hint(&path)));
            }
        }
    }

    fn option(&mut self, option: &'static OptionSpec, node: &Node) {
        let origin = node.origin.clone();
        if option.kind == Kind::Issuers {
            issuers::read_list(node, self.files, self.layers, self.problems);
            return;
        }
        if let Some(text) = node.value.scalar() {
            self.layers.set(option.path, Raw::One(text), origin);
            return;
        }
        match &node.value {
            NodeValue::List(entries) if option.kind == Kind::List => {
                let texts: Option<Vec<String>> = entries.iter().map(|entry| entry.value.scalar()).collect();
                match texts {
                    Some(texts) => self.layers.set(option.path, Raw::Many(texts), origin),
                    None => self.problems.at(&origin, format!("{} must be a list of texts", option.path)),
                }
            }
            other => {
                let (path, expected, found) = (option.path, option.kind.name(), other.kind());
                self.problems.at(&origin, format!("{path} must be a {expected}, not {found}"));
            }
        }
    }

    fn value_file(&mut self, option: &'static OptionSpec, node: &Node) {
        let NodeValue::Text(path) = &node.value else {
            return self
                .problems
                .at(&node.origin, format!("{}_file must be the path of a file", option.path));
        };
        let Some(text) = self.problems.check(&node.origin, read_value_file(self.files, Path::new(path)))
        else {
            return;
        };
        match option.kind {
            Kind::Issuers => issuers::read_json(&text, &node.origin, self.files, self.layers, self.problems),
            _ => self.layers.set(option.path, Raw::One(text), node.origin.clone()),
        }
    }
}

/// The option that `path_file` is for.
fn option_of_file_key(path: &str) -> Option<&'static OptionSpec> {
    let option = super::options::find(path.strip_suffix(FILE_SUFFIX.to_ascii_lowercase().as_str())?)?;
    option.or_file.then_some(option)
}

fn is_section(path: &str) -> bool {
    OPTIONS.iter().any(|option| option.path.strip_prefix(path).is_some_and(|rest| rest.starts_with('.')))
}

/// The likeliest meaning of a key that nobody knows: the same key in another section, or one that is spelt alike.
fn hint(path: &str) -> String {
    let leaf = path.rsplit('.').next().unwrap_or(path);
    let is_same_leaf = |option: &&OptionSpec| option.path.rsplit('.').next() == Some(leaf);
    if let Some(option) = OPTIONS.iter().find(is_same_leaf) {
        return format!("; did you mean {}?", option.path);
    }
    let sections =
        OPTIONS.iter().filter_map(|option| option.path.split_once('.').map(|(section, _)| section));
    suggest::hint(path, OPTIONS.iter().map(|option| option.path).chain(sections))
        .or_else(|| {
            let leaves = OPTIONS.iter().map(|option| option.path.rsplit('.').next().unwrap_or(option.path));
            let closest = suggest::closest(leaf, leaves)?;
            let option = OPTIONS.iter().find(|option| option.path.rsplit('.').next() == Some(closest))?;
            Some(format!("; did you mean {}?", option.path))
        })
        .unwrap_or_default()
}
