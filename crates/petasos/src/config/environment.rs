//! The environment: which variable sets which option, and what is said about those that nobody knows.

use std::path::Path;

use super::{
    directive, issuers,
    layers::{Layers, Raw},
    options::{FILE_SUFFIX, Kind, OPTIONS, OptionSpec},
    origin::{OWN_PREFIX, Origin, is_own_variable},
    problems::Problems,
    suggest,
    surroundings::{Environment, Files},
};
use crate::{
    bench::SUBSCRIBER_TOKEN_VARIABLE,
    client::target::{TOKEN_VARIABLE, URL_VARIABLE},
};

/// The variable that names the configuration file. No option: it is read before the file is.
pub(super) const CONFIG_VARIABLE: &str = "PETASOS_CONFIG";

/// The variable with lines in the directive syntax.
pub(super) const DIRECTIVES_VARIABLE: &str = "MERCURE_EXTRA_DIRECTIVES";

/// Variables of the client commands. They are no options of a hub, but may well stand in its environment.
const CLIENT_VARIABLES: [&str; 3] = [TOKEN_VARIABLE, URL_VARIABLE, SUBSCRIBER_TOKEN_VARIABLE];

/// How the variables of the reference hub's image begin.
const DROP_IN_PREFIX: &str = "MERCURE_";

/// Reads both families of variables into `layers`.
pub(super) fn read(
    environment: &Environment,
    files: &dyn Files,
    layers: &mut Layers,
    problems: &mut Problems,
) {
    for option in OPTIONS {
        let own = option.variable();
        for variable in option.drop_in.iter().copied().chain([own.as_str()]) {
            let Some((value, origin)) = value(environment, files, variable, option.or_file, problems) else {
                continue;
            };
            match option.kind {
                Kind::Issuers => issuers::read_json(&value, &origin, files, layers, problems),
                _ => layers.set(option.path, Raw::One(value), origin),
            }
        }
    }
    if let Some((text, _)) = value(environment, files, DIRECTIVES_VARIABLE, true, problems) {
        directive::read(&text, environment, files, layers, problems);
    }
    tell_unknown(environment, problems);
}

/// The value of `variable`, or the content of the file that `variable_FILE` names.
fn value(
    environment: &Environment,
    files: &dyn Files,
    variable: &str,
    from_file: bool,
    problems: &mut Problems,
) -> Option<(String, Origin)> {
    let direct = environment.get(variable);
    let file_variable = format!("{variable}{FILE_SUFFIX}");
    let path = environment.get(&file_variable).filter(|_| from_file);
    match (direct, path) {
        (Some(_), Some(_)) => {
            problems.error(format!("{variable} and {file_variable} are both set: which of them is meant?"));
            None
        }
        (Some(text), None) => Some((text.to_owned(), Origin::Variable(variable.to_owned()))),
        (None, Some(path)) => {
            let origin = Origin::Variable(file_variable);
            let text = problems.check(&origin, read_value_file(files, Path::new(path)))?;
            Some((text, origin))
        }
        (None, None) => None,
    }
}

/// Reads a file that holds one value. One line break at its end is taken for the editor's, not the value's.
pub(super) fn read_value_file(files: &dyn Files, path: &Path) -> Result<String, String> {
    let text = files.read(path).map_err(|error| format!("{} cannot be read: {error}", path.display()))?;
    let text = text.strip_suffix('\n').unwrap_or(&text);
    let text = text.strip_suffix('\r').unwrap_or(text);
    if text.is_empty() {
        return Err(format!("{} is empty", path.display()));
    }
    Ok(text.to_owned())
}

/// An unknown variable of ours is an error, one of the reference hub's image or of its web server a warning.
fn tell_unknown(environment: &Environment, problems: &mut Problems) {
    for variable in environment.unreadable() {
        if is_own_variable(variable) || is_drop_in_variable(variable) {
            problems.error(format!("{variable}: the value is not UTF-8"));
        }
    }
    let known = known_variables();
    let mut injected = Vec::new();
    for (variable, value) in environment.iter() {
        if known.iter().any(|known| known == variable) {
            continue;
        }
        if is_own_variable(variable) {
            if !is_injected_by_kubernetes(variable) && !is_link_to_service(variable, value) {
                problems.error(format!("{variable} is not known{}", own_hint(variable, &known)));
            }
        } else if is_drop_in_variable(variable) {
            if is_link_to_service(variable, value) {
                injected.push(variable);
            } else {
                let hint = hint_among(variable, DROP_IN_PREFIX, &known).unwrap_or_default();
                problems.warn(format!("{variable} is not known here and has no effect{hint}"));
            }
        }
    }
    if !injected.is_empty() {
        let names = injected.join(", ");
        problems.note(format!("ignored, as Kubernetes injects them for a Service named so: {names}"));
    }
}

fn own_hint(variable: &str, known: &[String]) -> String {
    // Somebody who wrote the whole path, section included, meant the option.
    let whole_path = |option: &&OptionSpec| {
        variable.strip_prefix(OWN_PREFIX) == Some(option.path.to_ascii_uppercase().replace('.', "_").as_str())
    };
    if let Some(option) = OPTIONS.iter().find(whole_path) {
        return format!("; did you mean {}?", option.variable());
    }
    let without_suffix = variable.strip_suffix(FILE_SUFFIX).unwrap_or(variable);
    if known.iter().any(|name| name == without_suffix) {
        return format!("; {without_suffix} takes the value itself, and only secrets may be read from files");
    }
    hint_among(variable, OWN_PREFIX, known)
        .unwrap_or_else(|| "; petasos check --print lists what there is".to_owned())
}

/// The likeliest meaning of a variable among those with the same prefix, which makes none of them likelier.
fn hint_among(variable: &str, prefix: &str, known: &[String]) -> Option<String> {
    let name = variable.strip_prefix(prefix)?;
    let closest = suggest::closest(name, known.iter().filter_map(|known| known.strip_prefix(prefix)))?;
    Some(format!("; did you mean {prefix}{closest}?"))
}

fn known_variables() -> Vec<String> {
    let mut known = vec![CONFIG_VARIABLE.to_owned(), DIRECTIVES_VARIABLE.to_owned()];
    known.push(format!("{DIRECTIVES_VARIABLE}{FILE_SUFFIX}"));
    known.extend(CLIENT_VARIABLES.map(str::to_owned));
    for option in OPTIONS {
        for variable in option.drop_in.map(str::to_owned).into_iter().chain([option.variable()]) {
            if option.or_file {
                known.push(format!("{variable}{FILE_SUFFIX}"));
            }
            known.push(variable);
        }
    }
    known
}

/// The image's own names, and those of the web server it is built on.
fn is_drop_in_variable(name: &str) -> bool {
    name.starts_with(DROP_IN_PREFIX) || name.starts_with("CADDY_") || name == "GLOBAL_OPTIONS"
}

/// Whether Kubernetes sets such a variable in every pod beside a Service named `petasos`.
pub(super) fn is_injected_by_kubernetes(name: &str) -> bool {
    name == "PETASOS_PORT" || name.starts_with("PETASOS_PORT_") || name.starts_with("PETASOS_SERVICE_")
}

/// The same for Services whose name only begins so, such as `petasos-admin` and `mercure`: recognised by the shape of
/// name and value.
fn is_link_to_service(name: &str, value: &str) -> bool {
    let is_port = |text: &str| text.parse::<u16>().is_ok();
    if let Some(rest) = value.split_once("://").filter(|(scheme, _)| ["tcp", "udp", "sctp"].contains(scheme))
    {
        let ends_in_port = rest.1.rsplit_once(':').is_some_and(|(_, port)| is_port(port));
        return ends_in_port && (name.ends_with("_PORT") || name.contains("_PORT_"));
    }
    let protocol = ["_TCP_", "_UDP_", "_SCTP_"].iter().any(|part| name.contains(part));
    (name.contains("_PORT_")
        && protocol
        && ["_PROTO", "_PORT", "_ADDR"].iter().any(|end| name.ends_with(end)))
        || name.ends_with("_SERVICE_HOST")
        || ((name.ends_with("_SERVICE_PORT") || name.contains("_SERVICE_PORT_")) && is_port(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_of_kubernetes_are_recognised_by_their_shape() {
        for (name, value) in [
            ("PETASOS_ADMIN_SERVICE_HOST", "10.0.0.1"),
            ("PETASOS_ADMIN_SERVICE_PORT", "2019"),
            ("PETASOS_ADMIN_SERVICE_PORT_METRICS", "2019"),
            ("PETASOS_ADMIN_PORT", "tcp://10.0.0.1:2019"),
            ("PETASOS_ADMIN_PORT_2019_TCP", "tcp://10.0.0.1:2019"),
            ("PETASOS_ADMIN_PORT_2019_TCP_PROTO", "tcp"),
            ("PETASOS_ADMIN_PORT_2019_TCP_PORT", "2019"),
            ("PETASOS_ADMIN_PORT_2019_TCP_ADDR", "10.0.0.1"),
            ("MERCURE_PORT", "tcp://10.0.0.1:80"),
        ] {
            assert!(is_link_to_service(name, value), "{name}");
        }
        for (name, value) in
            [("PETASOS_ADMIN_PORT", "2019"), ("PETASOS_LISTEN_PORT", "80"), ("MERCURE_URL", "http://hub:80")]
        {
            assert!(!is_link_to_service(name, value), "{name}");
        }
    }
}
