//! The tables of `docs/configuration.md`, made from the tables in the code.

use std::fmt::Write;

use super::{
    directive::DIRECTIVES,
    options::{FILE_SUFFIX, Kind, OPTIONS, OptionSpec},
};

/// The table of options in Markdown.
pub fn options_table() -> String {
    let mut table = String::from("| option | variable | default | meaning |\n| --- | --- | --- | --- |\n");
    for option in OPTIONS {
        let default = match (option.default, option.kind) {
            ("", _) => String::new(),
            (text, Kind::Text | Kind::List | Kind::Choice(_) | Kind::Path) => format!("`{text}`"),
            (text, _) => text.to_owned(),
        };
        let meaning = format!("{}{}", option.doc, also(option));
        // Writing into a String cannot fail.
        let _ = writeln!(table, "| `{}` | `{}` | {default} | {meaning} |", option.path, option.variable());
    }
    table
}

/// The other names of an option.
fn also(option: &OptionSpec) -> String {
    let mut notes = Vec::new();
    if let Some(variable) = option.drop_in {
        notes.push(format!("Also `{variable}`."));
    }
    if option.or_file {
        notes.push(format!("`{FILE_SUFFIX}` reads it from a file."));
    }
    if option.flag_name().is_none() {
        notes.push("No flag.".to_owned());
    }
    if notes.is_empty() { String::new() } else { format!(" {}", notes.join(" ")) }
}

/// The table of directives in Markdown.
pub fn directives_table() -> String {
    let mut table = String::from("| directive | what becomes of it |\n| --- | --- |\n");
    for directive in DIRECTIVES {
        let separator = if directive.form.is_empty() { "" } else { " " };
        let _ = writeln!(
            table,
            "| `{}{separator}{}` | {} |",
            directive.name,
            directive.form,
            directive.meaning()
        );
    }
    table
}
