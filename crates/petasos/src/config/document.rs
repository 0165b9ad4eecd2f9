//! A value with structure, as TOML and JSON both have it, and where each part of it stands.

use std::{ops::Range, path::PathBuf, sync::Arc};

use toml::de::{DeTable, DeValue};

use super::origin::Origin;

/// A part of a document.
#[derive(Clone)]
pub(super) struct Node {
    pub(super) value: NodeValue,
    pub(super) origin: Origin,
}

/// What a part is.
#[derive(Clone)]
pub(super) enum NodeValue {
    Text(String),
    /// As it was written, in decimal.
    Number(String),
    Switch(bool),
    List(Vec<Node>),
    /// In the order of the document.
    Table(Vec<(String, Node)>),
    /// Something that no option takes, and what to call it.
    Other(&'static str),
}

impl NodeValue {
    /// What to call it in an error.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) => "a text",
            Self::Number(_) => "a number",
            Self::Switch(_) => "true or false",
            Self::List(_) => "a list",
            Self::Table(_) => "a table",
            Self::Other(kind) => kind,
        }
    }

    /// A single value as text; `None` for lists, tables and others.
    pub(super) fn scalar(&self) -> Option<String> {
        match self {
            Self::Text(text) | Self::Number(text) => Some(text.clone()),
            Self::Switch(on) => Some(on.to_string()),
            Self::List(_) | Self::Table(_) | Self::Other(_) => None,
        }
    }
}

/// Parses a TOML text. What could be parsed comes back even where something was wrong, so that all errors of a file are
/// told at once: the line and what is wrong with it.
pub(super) fn parse_toml(text: &str, path: &Arc<PathBuf>) -> (Node, Vec<(Origin, String)>) {
    let lines = Lines { text, path };
    let (table, errors) = DeTable::parse_recoverable(text);
    let errors = errors
        .iter()
        .map(|error| (lines.origin(error.span().unwrap_or_default()), error.message().trim().to_owned()))
        .collect();
    let origin = lines.origin(table.span());
    (Node { value: lines.table(table.get_ref()), origin }, errors)
}

/// Parses a JSON text whose parts all come from one place.
pub(super) fn parse_json(text: &str, origin: &Origin) -> Result<Node, String> {
    // The message of the parser may quote the text, which may hold keys: only the place is told.
    let value: serde_json::Value = serde_json::from_str(text).map_err(|error| {
        format!("no well-formed JSON at line {}, column {}", error.line(), error.column())
    })?;
    Ok(from_json(value, origin))
}

fn from_json(value: serde_json::Value, origin: &Origin) -> Node {
    let value = match value {
        serde_json::Value::Null => NodeValue::Other("null"),
        serde_json::Value::Bool(on) => NodeValue::Switch(on),
        serde_json::Value::Number(number) => NodeValue::Number(number.to_string()),
        serde_json::Value::String(text) => NodeValue::Text(text),
        serde_json::Value::Array(entries) => {
            NodeValue::List(entries.into_iter().map(|entry| from_json(entry, origin)).collect())
        }
        serde_json::Value::Object(members) => NodeValue::Table(
            members.into_iter().map(|(name, value)| (name, from_json(value, origin))).collect(),
        ),
    };
    Node { value, origin: origin.clone() }
}

/// A TOML text that knows its lines.
struct Lines<'a> {
    text: &'a str,
    path: &'a Arc<PathBuf>,
}

impl Lines<'_> {
    fn origin(&self, span: Range<usize>) -> Origin {
        let before = self.text.as_bytes().get(..span.start).unwrap_or_default();
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        Origin::File { path: Arc::clone(self.path), line }
    }

    fn table(&self, table: &DeTable<'_>) -> NodeValue {
        let mut entries: Vec<_> = table.iter().collect();
        entries.sort_by_key(|(key, _)| key.span().start);
        let node = |value: &toml::Spanned<DeValue<'_>>, key: Range<usize>| {
            // A table that is written as a header has the span of its header, one that is only implied none of its own.
            let span = if value.span().is_empty() { key } else { value.span() };
            Node { value: self.value(value.get_ref()), origin: self.origin(span) }
        };
        NodeValue::Table(
            entries
                .into_iter()
                .map(|(key, value)| (key.get_ref().to_string(), node(value, key.span())))
                .collect(),
        )
    }

    fn value(&self, value: &DeValue<'_>) -> NodeValue {
        match value {
            DeValue::String(text) => NodeValue::Text(text.to_string()),
            DeValue::Integer(number) => {
                let decimal =
                    i128::from_str_radix(number.as_str(), number.radix()).map(|number| number.to_string());
                NodeValue::Number(decimal.unwrap_or_else(|_| number.to_string()))
            }
            DeValue::Float(number) => NodeValue::Number(number.as_str().to_owned()),
            DeValue::Boolean(on) => NodeValue::Switch(*on),
            DeValue::Datetime(_) => NodeValue::Other("a date"),
            DeValue::Array(entries) => NodeValue::List(
                entries
                    .iter()
                    .map(|entry| Node {
                        value: self.value(entry.get_ref()),
                        origin: self.origin(entry.span()),
                    })
                    .collect(),
            ),
            DeValue::Table(table) => self.table(table),
        }
    }
}
