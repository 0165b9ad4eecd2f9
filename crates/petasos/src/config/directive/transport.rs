//! `transport NAME { … }` directives, which become transport URLs.

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use super::{DirectiveReader, origin, syntax::Line};
use crate::config::{layers::Raw, transport};

/// What must be encoded for a path to stand in a URL unchanged.
const PATH: &AsciiSet = &CONTROLS.add(b'%').add(b'?').add(b'#');

/// The same for a value in a query.
const QUERY: &AsciiSet = &PATH.add(b'&').add(b'+').add(b'=').add(b' ');

impl DirectiveReader<'_> {
    pub(super) fn transport(&mut self, line: &Line) {
        let [engine] = line.arguments.as_slice() else {
            return self.missing_argument(line, "NAME { … }");
        };
        if let Err(error) = transport::check_engine(engine) {
            return self.problems.at(&origin(line), error);
        }
        let remote = transport::is_remote(engine);
        let mut location = String::new();
        let mut whole = None;
        let mut query = Vec::new();
        for part in line.block.iter().flatten() {
            let [value] = part.arguments.as_slice() else {
                self.missing_argument(part, "with one value");
                continue;
            };
            match part.name.as_str() {
                "address" | "addresses" if remote => location = value.clone(),
                "path" => location = utf8_percent_encode(value, PATH).to_string(),
                // Credentials are in it, so that what stands beside it is added to it.
                "url" if remote => whole = Some(value.clone()),
                "url" => match line.block.iter().flatten().count() {
                    1 => return self.layers.set("transport.url", Raw::One(value.clone()), origin(line)),
                    _ => self.problems.at(&origin(part), "a url stands alone: it says everything"),
                },
                name => query.push(format!("{name}={}", utf8_percent_encode(value, QUERY))),
            }
        }
        let url = whole.unwrap_or_else(|| format!("{engine}://{location}"));
        let separator = match (query.is_empty(), url.contains('?')) {
            (true, _) => "",
            (false, true) => "&",
            (false, false) => "?",
        };
        let url = format!("{url}{separator}{}", query.join("&"));
        self.layers.set("transport.url", Raw::One(url), origin(line));
    }
}
