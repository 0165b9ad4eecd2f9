//! Issuers that have a block of their own: `[[issuers]]` tables, the JSON of `PETASOS_ISSUERS`, and what `issuer`
//! directives share with them.

use std::path::{Path, PathBuf};

use petasos_hub::auth::{Algorithm, IssuerConfig, JwksLocation, KeySource, Secret};

use super::{
    document::{Node, NodeValue, parse_json},
    environment::read_value_file,
    layers::Layers,
    origin::Origin,
    problems::Problems,
    suggest,
    surroundings::Files,
    value,
};

/// The algorithm of a shared secret whose algorithm is not stated.
const DEFAULT_ALGORITHM: Algorithm = Algorithm::HS256;

/// How a text in PEM can be told from a shared secret.
const PEM_MARK: &str = "-----BEGIN";

/// An issuer as one layer gives it.
#[derive(Clone)]
pub(super) struct IssuerDraft {
    pub(super) config: IssuerConfig,
    pub(super) origin: Origin,
}

/// A static key. Without an algorithm it is a shared secret for HS256; a PEM text must state one, because whoever has
/// the public key could sign with it if it were taken for a secret (A17).
pub(super) fn static_key(key: &str, algorithm: Option<&str>) -> Result<KeySource, String> {
    let is_pem = key.contains(PEM_MARK);
    let algorithm = match algorithm {
        Some(name) => value::algorithm(name)?,
        None if is_pem => {
            return Err("a key in PEM must state its algorithm, such as RS256 or ES256".to_owned());
        }
        None => DEFAULT_ALGORITHM,
    };
    if is_pem && matches!(algorithm, Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512) {
        let text =
            "a key in PEM cannot be used with an HS algorithm: whoever has the public key could sign tokens";
        return Err(text.to_owned());
    }
    Ok(KeySource::Static { key: Secret::new(key.as_bytes()), algorithm })
}

/// A JWK set at an `http(s)://` or `file://` URL, or a path.
pub(super) fn jwks<'a>(
    location: &str,
    algorithms: impl IntoIterator<Item = &'a str>,
) -> Result<KeySource, String> {
    let algorithms = algorithms.into_iter().map(value::algorithm).collect::<Result<_, _>>()?;
    // The location is never quoted: it may carry credentials.
    let location = match location.split_once("://") {
        Some(("http" | "https", _)) => {
            let url =
                url::Url::parse(location).map_err(|error| format!("the URL of the JWK set: {error}"))?;
            JwksLocation::Url(url)
        }
        Some(("file", path)) if path.starts_with('/') => JwksLocation::File(PathBuf::from(path)),
        Some(_) => return Err("a JWK set is read from an https:// URL or a path".to_owned()),
        None => JwksLocation::File(PathBuf::from(location)),
    };
    Ok(KeySource::Jwks { location, algorithms })
}

/// Reads the JSON of `PETASOS_ISSUERS`.
pub(super) fn read_json(
    text: &str,
    origin: &Origin,
    files: &dyn Files,
    layers: &mut Layers,
    problems: &mut Problems,
) {
    if let Some(node) = problems.check(origin, parse_json(text, origin)) {
        read_list(&node, files, layers, problems);
    }
}

/// Reads the list of issuers of a document.
pub(super) fn read_list(node: &Node, files: &dyn Files, layers: &mut Layers, problems: &mut Problems) {
    let NodeValue::List(entries) = &node.value else {
        return problems.at(&node.origin, "issuers are a list of tables: write [[issuers]] above each");
    };
    let mut reader = IssuerReader { files, problems };
    for entry in entries {
        if let Some(config) = reader.issuer(entry) {
            layers.add_issuer(IssuerDraft { config, origin: entry.origin.clone() });
        }
    }
}

struct IssuerReader<'a> {
    files: &'a dyn Files,
    problems: &'a mut Problems,
}

const ISSUER_KEYS: [&str; 4] = ["id", "authorization_server", "publisher", "subscriber"];
const ROLE_KEYS: [&str; 5] = ["jwt_key", "jwt_key_file", "jwt_alg", "jwks", "jwks_algs"];

impl IssuerReader<'_> {
    fn issuer(&mut self, node: &Node) -> Option<IssuerConfig> {
        let NodeValue::Table(entries) = &node.value else {
            self.problems.at(&node.origin, format!("an issuer is a table, not {}", node.value.kind()));
            return None;
        };
        self.refuse_unknown("issuers", entries, &ISSUER_KEYS);
        let id = self.text(entries, "id");
        if id.is_none() {
            self.problems.at(&node.origin, "an issuer needs an id: the iss of its tokens");
        }
        let authorization_server = match entry(entries, "authorization_server") {
            None => false,
            Some(Node { value: NodeValue::Switch(on), .. }) => *on,
            Some(other) => {
                self.problems.at(&other.origin, "authorization_server is true or false");
                false
            }
        };
        let roles = ["publisher", "subscriber"].map(|name| entry(entries, name).map(|node| (name, node)));
        if roles.iter().all(Option::is_none) {
            self.problems.at(&node.origin, "an issuer needs keys: publisher, subscriber, or both");
        }
        let [publisher, subscriber] = roles.map(|role| role.and_then(|(name, node)| self.role(name, node)));
        Some(IssuerConfig { id: id?, authorization_server, publisher, subscriber })
    }

    fn role(&mut self, role: &str, node: &Node) -> Option<KeySource> {
        let NodeValue::Table(entries) = &node.value else {
            self.problems.at(&node.origin, format!("{role} is a table, not {}", node.value.kind()));
            return None;
        };
        self.refuse_unknown(role, entries, &ROLE_KEYS);
        let key = match (self.text(entries, "jwt_key"), self.text(entries, "jwt_key_file")) {
            (None, Some(path)) => {
                let text = read_value_file(self.files, Path::new(&path));
                Some(self.problems.check(&node.origin, text)?)
            }
            (key, None) => key,
            (Some(_), Some(_)) => {
                self.problems.at(&node.origin, format!("{role} has both jwt_key and jwt_key_file"));
                return None;
            }
        };
        let source = match (key, self.text(entries, "jwks")) {
            (Some(key), None) => static_key(&key, self.text(entries, "jwt_alg").as_deref()),
            (None, Some(location)) => {
                jwks(&location, self.texts(entries, "jwks_algs").iter().map(String::as_str))
            }
            (Some(_), Some(_)) => Err(format!("{role} has both a key and a JWK set: one of them only")),
            (None, None) => Err(format!("{role} needs jwt_key, jwt_key_file or jwks")),
        };
        self.problems.check(&node.origin, source)
    }

    fn refuse_unknown(&mut self, table: &str, entries: &[(String, Node)], known: &[&str]) {
        for (key, node) in entries.iter().filter(|(key, _)| !known.contains(&key.as_str())) {
            let hint = suggest::hint(key, known.iter().copied())
                .unwrap_or_else(|| format!("; it may have {}", value::any_of(known)));
            self.problems.at(&node.origin, format!("{table}: {key} is not known{hint}"));
        }
    }

    fn text(&mut self, entries: &[(String, Node)], key: &str) -> Option<String> {
        match entry(entries, key)? {
            Node { value: NodeValue::Text(text), .. } if !text.is_empty() => Some(text.clone()),
            other => {
                self.problems.at(&other.origin, format!("{key} must be a text"));
                None
            }
        }
    }

    fn texts(&mut self, entries: &[(String, Node)], key: &str) -> Vec<String> {
        let Some(node) = entry(entries, key) else { return Vec::new() };
        let texts = match &node.value {
            NodeValue::Text(text) => Some(value::list(text)),
            NodeValue::List(list) => list.iter().map(|entry| entry.value.scalar()).collect(),
            _ => None,
        };
        if texts.is_none() {
            self.problems.at(&node.origin, format!("{key} must be a list of texts"));
        }
        texts.unwrap_or_default()
    }
}

fn entry<'a>(entries: &'a [(String, Node)], key: &str) -> Option<&'a Node> {
    entries.iter().find(|(name, _)| name == key).map(|(_, node)| node)
}
