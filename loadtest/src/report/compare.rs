//! Two reports side by side.

use comfy_table::{CellAlignment, Table, presets};

use super::{Report, Row};

/// New figures over old ones, for runs of the same name; above 1 is more.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "ratios for people")]
pub fn render(old: &Report, new: &Report) -> String {
    let mut table = Table::new();
    table.load_style(presets::UTF8_BORDERS_ONLY).set_header([
        "new / old",
        "QPS",
        "mean",
        "P50",
        "P95",
        "P99",
        "hit rate",
        "errors",
    ]);
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    for row in &new.rows {
        let Some(before) = old.rows.iter().find(|before| before.name == row.name) else {
            table.add_row([&format!("{} (only in the new one)", row.name)]);
            continue;
        };
        let of = |figure: fn(&Row) -> u64| ratio(figure(before) as f64, figure(row) as f64);
        table.add_row([
            row.name.clone(),
            ratio(before.qps, row.qps),
            ratio(before.latency.mean, row.latency.mean),
            of(|row| row.latency.p50),
            of(|row| row.latency.p95),
            of(|row| row.latency.p99),
            difference(before.hit_rate, row.hit_rate),
            format!("{} → {}", before.errors, row.errors),
        ]);
    }
    for gone in old.rows.iter().filter(|row| !new.rows.iter().any(|now| now.name == row.name)) {
        table.add_row([&format!("{} (only in the old one)", gone.name)]);
    }
    table.to_string()
}

fn ratio(old: f64, new: f64) -> String {
    if old > 0.0 { format!("{:.3}", new / old) } else { "-".to_owned() }
}

fn difference(old: Option<f64>, new: Option<f64>) -> String {
    match (old, new) {
        (Some(old), Some(new)) => format!("{:+.2} points", new - old),
        _ => "-".to_owned(),
    }
}
