//! `MERCURE_EXTRA_DIRECTIVES`: lines in the directive syntax of the reference hub, each of which sets an option, adds an
//! issuer, or is refused. None is ignored without a word.

mod issuer;
mod syntax;
mod table;
#[cfg(test)]
mod tests;
mod transport;

use std::{cell::RefCell, collections::BTreeSet, path::Path};

pub(super) use self::table::DIRECTIVES;
use self::{
    syntax::{Line, Placeholder},
    table::{Arguments, DirectiveSpec, Effect},
};
use super::{
    environment::{DIRECTIVES_VARIABLE, read_value_file},
    layers::{Layers, Raw},
    origin::Origin,
    problems::Problems,
    suggest,
    surroundings::{Environment, Files},
    value,
};

/// Reads directives into `layers`.
pub(super) fn read(
    text: &str,
    environment: &Environment,
    files: &dyn Files,
    layers: &mut Layers,
    problems: &mut Problems,
) {
    let placed = RefCell::new(BTreeSet::new());
    let lookup = |placeholder: &Placeholder| match placeholder {
        Placeholder::Variable(name) => {
            placed.borrow_mut().insert(name.clone());
            environment.get(name).map(str::to_owned)
        }
        Placeholder::File(path) => read_value_file(files, Path::new(path)).ok(),
    };
    let (lines, errors) = syntax::parse(text, &lookup);
    layers.placed = placed.into_inner();
    for (line, error) in errors {
        problems.error(format!("{DIRECTIVES_VARIABLE}, line {line}: {error}"));
    }
    let mut without_effect = Vec::new();
    let mut reader = DirectiveReader { layers, problems, without_effect: &mut without_effect };
    for line in &lines {
        reader.directive(line);
    }
    if !without_effect.is_empty() {
        without_effect.dedup();
        let names = without_effect.join(", ");
        problems.note(format!(
            "{DIRECTIVES_VARIABLE}: {names}: accepted without effect, there is nothing to tune here"
        ));
    }
}

/// Reads one directive after the other.
struct DirectiveReader<'a> {
    layers: &'a mut Layers,
    problems: &'a mut Problems,
    /// Names of directives that tune what does not exist here: told in one line at the end.
    without_effect: &'a mut Vec<String>,
}

impl DirectiveReader<'_> {
    fn directive(&mut self, line: &Line) {
        let Some(spec) = table::DIRECTIVES.iter().find(|spec| spec.name == line.name) else {
            let known = table::DIRECTIVES.iter().map(|spec| spec.name);
            let hint = suggest::hint(&line.name, known).unwrap_or_default();
            let text =
                format!("{DIRECTIVES_VARIABLE}, line {}: unknown directive {}{hint}", line.number, line.name);
            return self.problems.error(text);
        };
        let origin = origin(line);
        if line.block.is_some() && !matches!(spec.effect, Effect::Transport | Effect::Issuer) {
            return self.problems.at(&origin, "it has no block");
        }
        match spec.effect {
            Effect::Sets { option, arguments } => self.set(line, spec, option, arguments),
            Effect::DrainTimeout => {
                let is_zero = |text: &String| value::duration(text).is_ok_and(|duration| duration.is_zero());
                if !line.arguments.first().is_some_and(is_zero) {
                    self.set(line, spec, "server.drain_timeout", Arguments::One);
                }
            }
            Effect::Transport => self.transport(line),
            Effect::Issuer => self.issuer(line),
            Effect::Untuned => self.without_effect.push(line.name.clone()),
            Effect::PageNotYet => self.problems.warn(format!(
                "{origin}: accepted, but this page is not part of Petasos yet; nothing is relaxed for it"
            )),
            Effect::OldKey { key, algorithm } => match line.arguments.as_slice() {
                [] => self.missing_argument(line, spec.form),
                [secret, rest @ ..] if rest.len() <= 1 => {
                    self.layers.set(key, Raw::One(secret.clone()), origin.clone());
                    if let Some(name) = rest.first() {
                        self.layers.set(algorithm, Raw::One(name.clone()), origin);
                    }
                }
                _ => self
                    .problems
                    .at(&origin, "a key and an algorithm are expected; a key with spaces stands in quotes"),
            },
        }
    }

    fn set(&mut self, line: &Line, spec: &DirectiveSpec, option: &'static str, arguments: Arguments) {
        let origin = origin(line);
        let value = match (arguments, line.arguments.as_slice()) {
            (Arguments::None, []) => Raw::One("true".to_owned()),
            (Arguments::None, _) => return self.problems.at(&origin, "it takes no argument"),
            (Arguments::One, [only]) => Raw::One(only.clone()),
            (Arguments::OneOrMore, [_, ..]) => Raw::Many(line.arguments.clone()),
            (_, []) => return self.missing_argument(line, spec.form),
            (Arguments::One, _) => {
                return self
                    .problems
                    .at(&origin, format!("one argument is expected: {} {}", spec.name, spec.form));
            }
        };
        self.layers.set(option, value, origin);
    }

    fn missing_argument(&mut self, line: &Line, form: &str) {
        let unset = match line.unset.as_slice() {
            [] => String::new(),
            names => format!(" ({} is not set)", names.join(", ")),
        };
        self.problems.at(&origin(line), format!("an argument is missing{unset}: {} {form}", line.name));
    }

    /// Says that a line within a block is not known there.
    fn unknown_within(&mut self, block: &str, line: &Line, known: &[&str]) {
        let hint = suggest::hint(&line.name, known.iter().copied())
            .unwrap_or_else(|| format!("; {block} may have {}", value::any_of(known)));
        self.problems.at(&origin(line), format!("not known within {block}{hint}"));
    }
}

fn origin(line: &Line) -> Origin {
    Origin::Directive { name: line.name.clone(), line: line.number }
}
