//! A report on standard output, for people.

use std::fmt::Write as _;

use super::{
    figures::{Figures, label, plain, with_unit},
    report::{Report, Run},
};

/// The whole report.
pub(crate) fn report(report: &Report) -> String {
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = writeln!(
        text,
        "{} on {} × {}",
        report.scenario, report.environment.cores, report.environment.processor
    );
    for (name, value) in &report.settings {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let _ = writeln!(text, "  {}: {value}", name.replace('_', " "));
    }
    for note in &report.notes {
        let _ = writeln!(text, "  {note}");
    }
    text.push('\n');
    text.push_str(&table(report));
    for (index, run) in report.runs.iter().enumerate() {
        for line in faults(run) {
            let _ = writeln!(text, "run {} ({}): {line}", index + 1, run.subject.name());
        }
    }
    text
}

/// Figures of all subjects side by side, and the ratios.
fn table(report: &Report) -> String {
    let mut head = vec![String::new()];
    let mut columns: Vec<(&Figures, bool)> = Vec::new();
    for medians in &report.medians {
        let runs = if medians.runs > 1 { format!(", median of {}", medians.runs) } else { String::new() };
        head.push(format!("{}{runs}", medians.subject.name()));
        columns.push((&medians.figures, false));
    }
    for ratios in &report.ratios {
        head.push(format!("hub / {}", ratios.to.name()));
        columns.push((&ratios.figures, true));
    }
    let mut rows = vec![head];
    let mut names: Vec<&str> = Vec::new();
    for (name, _) in report.medians.iter().flat_map(|medians| medians.figures.iter()) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    for name in names {
        let cell = |(figures, is_ratio): &(&Figures, bool)| match (figures.get(name), is_ratio) {
            (None, _) => String::new(),
            (Some(value), true) => format!("{} ×", plain(value)),
            (Some(value), false) => with_unit(name, value),
        };
        rows.push(std::iter::once(label(name)).chain(columns.iter().map(cell)).collect());
    }
    aligned(&rows)
}

/// Rows with columns of the same width; all but the first stand to the right.
pub(crate) fn aligned(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (index, (cell, width)) in row.iter().zip(&widths).enumerate() {
            let room = " ".repeat(width - cell.chars().count());
            if index == 0 {
                line.push_str(cell);
                line.push_str(&room);
            } else {
                line.push_str("  ");
                line.push_str(&room);
                line.push_str(cell);
            }
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// What went wrong in a run, in lines.
pub(crate) fn faults(run: &Run) -> Vec<String> {
    let faults = &run.faults;
    let counts = [
        (faults.updates.lost, "updates lost"),
        (faults.updates.doubled, "updates doubled"),
        (faults.updates.out_of_order, "updates out of order"),
        (faults.updates.unasked, "updates that nobody asked for"),
        (faults.ended_streams, "streams ended"),
        (faults.broken_publishes, "publishes without an answer"),
        (faults.unsent, "updates fell due and were never sent: the rate was not reached"),
        (faults.refused, "publishes refused for a while, and sent again"),
    ];
    let mut lines: Vec<String> = counts
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| format!("{count} {what}"))
        .collect();
    lines.extend(faults.first_ending.clone());
    lines
}
