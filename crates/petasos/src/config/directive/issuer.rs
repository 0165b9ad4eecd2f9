//! `issuer ID { … }` directives.

use petasos_hub::auth::{IssuerConfig, KeySource};

use super::{DirectiveReader, origin, syntax::Line};
use crate::config::{
    issuers::{IssuerDraft, jwks, static_key},
    suggest,
};

/// What an issuer may have.
const PARTS: [&str; 3] = ["authorization_server", "publisher", "subscriber"];

/// What a role of an issuer may have.
const KEYS: [&str; 2] = ["jwt", "jwks_uri"];

impl DirectiveReader<'_> {
    pub(super) fn issuer(&mut self, line: &Line) {
        let [id] = line.arguments.as_slice() else {
            if line.arguments.is_empty() {
                self.missing_argument(line, "ID { … }");
            } else {
                self.problems
                    .at(&origin(line), "one id is expected: repeat the directive for several issuers");
            }
            return;
        };
        let mut config =
            IssuerConfig { id: id.clone(), authorization_server: false, publisher: None, subscriber: None };
        let mut has_role = false;
        for part in line.block.iter().flatten() {
            match part.name.as_str() {
                "authorization_server" if part.arguments.is_empty() && part.block.is_none() => {
                    config.authorization_server = true;
                }
                "authorization_server" => self.problems.at(&origin(part), "it takes no argument"),
                "publisher" => {
                    has_role = true;
                    self.role(part, &mut config.publisher);
                }
                "subscriber" => {
                    has_role = true;
                    self.role(part, &mut config.subscriber);
                }
                _ => self.unknown_within("issuer", part, &PARTS),
            }
        }
        if !has_role {
            self.problems
                .at(&origin(line), "an issuer needs keys: publisher { … }, subscriber { … }, or both");
        }
        self.layers.add_issuer(IssuerDraft { config, origin: origin(line) });
    }

    fn role(&mut self, line: &Line, keys: &mut Option<KeySource>) {
        if !line.arguments.is_empty() {
            self.problems.at(&origin(line), "it takes no argument but a block with jwt or jwks_uri");
        }
        if keys.is_some() {
            return self.problems.at(&origin(line), "it stands twice in one issuer");
        }
        let block = line.block.as_deref().unwrap_or_default();
        for other in block.iter().filter(|other| !KEYS.contains(&other.name.as_str())) {
            // What stands there may be a key whose quote is missing: it is not repeated unless it is nearly a name.
            match suggest::hint(&other.name, KEYS) {
                Some(_) => self.unknown_within(&line.name, other, &KEYS),
                None => self.problems.at(&origin(line), "only jwt and jwks_uri are known within it"),
            }
        }
        let known: Vec<&Line> = block.iter().filter(|other| KEYS.contains(&other.name.as_str())).collect();
        let [source] = known.as_slice() else {
            return match known.is_empty() {
                true => self
                    .problems
                    .at(&origin(line), "keys are missing: write jwt KEY or jwks_uri URL in its block"),
                false => self
                    .problems
                    .at(&origin(line), "jwt and jwks_uri exclude one another, and each stands once"),
            };
        };
        let result = match (source.name.as_str(), source.arguments.as_slice()) {
            (_, []) => return self.missing_argument(source, "with a key or a URL"),
            ("jwt", [key]) => static_key(key, None),
            ("jwt", [key, algorithm]) => static_key(key, Some(algorithm)),
            ("jwt", _) => {
                Err("a key and an algorithm are expected; a key with spaces stands in quotes".to_owned())
            }
            (_, [url, algorithms @ ..]) => jwks(url, algorithms.iter().map(String::as_str)),
        };
        *keys = self.problems.check(&origin(source), result);
    }
}
