//! A report as a table for a terminal.

use std::fmt::Write;

use comfy_table::{CellAlignment, Table, presets};

use super::{Report, Row};

/// The table, and below it what went wrong.
#[must_use]
pub fn render(report: &Report) -> String {
    let mut table = Table::new();
    table.load_style(presets::UTF8_BORDERS_ONLY).set_header([
        "run", "requests", "QPS", "hit rate", "mean ms", "P50", "P95", "P99", "max", "errors",
    ]);
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    for row in &report.rows {
        table.add_row(cells(row));
    }
    let mut text = table.to_string();
    for row in &report.rows {
        notes(&mut text, row);
    }
    text
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
fn cells(row: &Row) -> [String; 10] {
    let ms = |micros: u64| format!("{:.2}", micros as f64 / 1000.0);
    [
        row.name.clone(),
        row.requests.to_string(),
        format!("{:.0}", row.qps),
        row.hit_rate.map_or_else(|| "-".to_owned(), |rate| format!("{rate:.2}%")),
        format!("{:.2}", row.latency.mean / 1000.0),
        ms(row.latency.p50),
        ms(row.latency.p95),
        ms(row.latency.p99),
        ms(row.latency.max),
        row.errors.to_string(),
    ]
}

fn notes(text: &mut String, row: &Row) {
    let mut note = |line: String| {
        let _ = write!(text, "\n{}: {line}", row.name);
    };
    for (what, count) in row.outcomes.iter().filter(|(what, _)| *what != "right") {
        note(format!("{count} × {what}"));
    }
    for why in &row.wrong {
        note(why.clone());
    }
    if let Some(why) = &row.invalid {
        note(format!("not a valid run: {why}"));
    }
}
