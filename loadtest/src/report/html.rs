//! A report as one HTML file: table, latency distribution, throughput over time. No scripts, no
//! other files.

use std::fmt::Write;

use plotters::{
    coord::ranged1d::{KeyPointHint, NoDefaultFormatting, Ranged},
    prelude::*,
};

use super::{Report, Row};

const SIZE: (u32, u32) = (900, 380);
const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;max-width:960px;margin:2em auto;\
    padding:0 1em;color:#1b1f24}table{border-collapse:collapse;width:100%}td,th{padding:.35em .6em;\
    text-align:right;border-bottom:1px solid #d8dee4;white-space:nowrap}td:first-child,\
    th:first-child{text-align:left}.bad{color:#b42318}.wide{overflow-x:auto}svg{max-width:100%;height:auto}";

/// Why a report could not be drawn.
#[derive(Debug, thiserror::Error)]
#[error("could not draw the {plot} plot: {why}")]
pub struct DrawError {
    plot: &'static str,
    why: String,
}

/// The whole page.
///
/// # Errors
/// Where a plot can't be drawn.
pub fn render(report: &Report) -> Result<String, DrawError> {
    let mut page = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><title>Load report</title>\
         <style>{STYLE}</style><h1>Load report</h1><p>{} · seed {} · answers {}</p>",
        escape(&report.targets.join(", ")),
        report.seed,
        if report.verified { "checked" } else { "not checked" },
    );
    table(&mut page, report);
    let latency = latency_plot(report).map_err(|why| DrawError { plot: "latency", why })?;
    let throughput =
        throughput_plot(report).map_err(|why| DrawError { plot: "throughput", why })?;
    let _ = write!(
        page,
        "<h2>Latency distribution</h2>{latency}<h2>Throughput over time</h2>{throughput}</html>"
    );
    Ok(page)
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
fn table(page: &mut String, report: &Report) {
    page.push_str("<div class=\"wide\"><table><tr>");
    for head in [
        "run",
        "requests",
        "connections",
        "QPS",
        "hit rate",
        "mean ms",
        "P50",
        "P95",
        "P99",
        "P99.9",
        "max",
        "errors",
    ] {
        let _ = write!(page, "<th>{head}</th>");
    }
    page.push_str("</tr>");
    for row in &report.rows {
        let latency = &row.latency;
        let _ = write!(
            page,
            "<tr><td>{}</td><td>{}</td><td>{}</td><td>{:.0}</td><td>{}</td><td>{:.2}</td>",
            escape(&row.name),
            row.requests,
            row.concurrent,
            row.qps,
            row.hit_rate.map_or_else(|| "–".to_owned(), |rate| format!("{rate:.2}&nbsp;%")),
            latency.mean / 1000.0,
        );
        for micros in [latency.p50, latency.p95, latency.p99, latency.p999, latency.max] {
            let _ = write!(page, "<td>{:.2}</td>", micros as f64 / 1000.0);
        }
        let class = if row.errors > 0 { " class=\"bad\"" } else { "" };
        let _ = write!(page, "<td{class}>{}</td></tr>", row.errors);
    }
    page.push_str("</table></div>");
    for row in &report.rows {
        let failed = row.outcomes.iter().filter(|(what, _)| *what != "right");
        let failed = failed.map(|(what, count)| format!("{count} × {what}"));
        for line in failed.chain(row.wrong.iter().cloned()).chain(row.invalid.clone()) {
            let _ = write!(page, "<p class=\"bad\">{}: {}</p>", escape(&row.name), escape(&line));
        }
    }
}

/// The percentile axis: each further nine takes the same room.
#[derive(Clone)]
struct Nines;

/// How far right a percentile stands: 0 % at 0, 90 % at 1, 99 % at 2 … 99.99 % and more at 4.
fn nines(percentile: f64) -> f64 {
    -(1.0 - percentile.min(99.99) / 100.0).log10()
}

impl Ranged for Nines {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    #[expect(clippy::cast_possible_truncation, reason = "pixels")]
    fn map(&self, percentile: &f64, limit: (i32, i32)) -> i32 {
        let width = f64::from(limit.1 - limit.0);
        limit.0 + (nines(*percentile) / 4.0 * width) as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, _hint: Hint) -> Vec<f64> {
        vec![0.0, 50.0, 90.0, 99.0, 99.9, 99.99]
    }

    fn range(&self) -> std::ops::Range<f64> {
        0.0..100.0
    }
}

impl plotters::coord::ranged1d::ValueFormatter<f64> for Nines {
    fn format_ext(&self, value: &f64) -> String {
        format!("{value} %")
    }
}

fn latency_plot(report: &Report) -> Result<String, String> {
    let most = report.rows.iter().map(|row| row.latency.max).max().unwrap_or(1);
    let low = report.rows.iter().map(|row| row.latency.min).min().unwrap_or(1).max(1);
    #[expect(clippy::cast_precision_loss, reason = "a plot")]
    let (low, high) = (low as f64 / 1000.0, (most as f64 / 1000.0).max(low as f64 / 500.0));
    let curve = |row: &Row| -> Vec<(f64, f64)> {
        row.curve.iter().map(|[at, micros]| (*at, (micros / 1000.0).max(low))).collect()
    };
    let mut svg = String::new();
    let drawn = (|| -> Result<(), DrawingAreaErrorKind<std::io::Error>> {
        let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        let mut chart = ChartBuilder::on(&area)
            .margin(12)
            .margin_right(36)
            .x_label_area_size(36)
            .y_label_area_size(64)
            .build_cartesian_2d(Nines, (low..high).log_scale())?;
        chart
            .configure_mesh()
            .max_light_lines(0)
            .x_desc("percentile")
            .y_desc("milliseconds")
            .draw()?;
        for (number, row) in report.rows.iter().enumerate() {
            let color = Palette99::pick(number).to_rgba();
            chart
                .draw_series(LineSeries::new(curve(row), color.stroke_width(2)))?
                .label(&row.name)
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], color));
        }
        chart.configure_series_labels().position(SeriesLabelPosition::UpperLeft).draw()?;
        area.present()
    })();
    drawn.map_err(|why| why.to_string())?;
    Ok(svg)
}

fn throughput_plot(report: &Report) -> Result<String, String> {
    let all = report.rows.iter().flat_map(|row| row.timeline.points(0));
    let (end, most) = all.fold((0.1_f64, 1.0_f64), |(end, most), (x, y)| (end.max(x), most.max(y)));
    let most = most * 1.1;
    let mut svg = String::new();
    let drawn = (|| -> Result<(), DrawingAreaErrorKind<std::io::Error>> {
        let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        let mut chart = ChartBuilder::on(&area)
            .margin(12)
            .margin_right(36)
            .x_label_area_size(36)
            .y_label_area_size(64)
            .build_cartesian_2d(0.0..end, 0.0..most)?;
        chart
            .configure_mesh()
            .max_light_lines(0)
            .x_desc("seconds")
            .y_desc("answers a second")
            .draw()?;
        for (number, row) in report.rows.iter().enumerate() {
            let color = Palette99::pick(number).to_rgba();
            chart
                .draw_series(LineSeries::new(row.timeline.points(0), color.stroke_width(2)))?
                .label(&row.name)
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], color));
            if row.errors > 0 {
                chart.draw_series(LineSeries::new(row.timeline.points(1), RED.stroke_width(2)))?;
            }
        }
        chart.configure_series_labels().position(SeriesLabelPosition::LowerRight).draw()?;
        area.present()
    })();
    drawn.map_err(|why| why.to_string())?;
    Ok(svg)
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
