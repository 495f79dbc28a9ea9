//! The two text formats in which Prometheus reads metrics.

use std::fmt;

use http::HeaderValue;
use prometheus_client::{encoding::text, registry::Registry};

/// What a scraper reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exposition {
    /// The classic text format, version 0.0.4.
    Text,
    /// OpenMetrics 1.0.
    OpenMetrics,
}

impl Exposition {
    /// What an `Accept` header asks for: OpenMetrics where it is named, else the classic format.
    #[must_use]
    pub fn of_accept(accept: Option<&HeaderValue>) -> Self {
        let accept =
            String::from_utf8_lossy(accept.map_or(&[], HeaderValue::as_bytes)).to_ascii_lowercase();
        if accept.contains("application/openmetrics-text") { Self::OpenMetrics } else { Self::Text }
    }

    /// The media type to declare.
    #[must_use]
    pub fn content_type(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        })
    }

    /// Everything in `registry`, in this format.
    ///
    /// # Errors
    /// If the text cannot be written.
    pub fn render(self, registry: &Registry) -> Result<String, fmt::Error> {
        let mut metrics = String::new();
        text::encode(&mut metrics, registry)?;
        Ok(match self {
            Self::OpenMetrics => metrics,
            Self::Text => classic(&metrics),
        })
    }
}

/// From OpenMetrics to the classic format: there the descriptor of a counter carries the `_total`
/// of its samples, an info is a gauge, and neither units nor an end mark are written.
fn classic(open_metrics: &str) -> String {
    let mut text = String::with_capacity(open_metrics.len());
    let mut lines = open_metrics.lines().peekable();
    while let Some(line) = lines.next() {
        if line.starts_with("# UNIT ") || line == "# EOF" {
            continue;
        }
        let next = lines.peek().and_then(|next| suffixed(next));
        if let Some((name, suffix, kind)) = suffixed(line) {
            text.push_str(&format!("# TYPE {name}{suffix} {kind}"));
        } else if let Some((name, suffix, _)) = next
            && let Some(help) = line.strip_prefix("# HELP ").and_then(|l| l.strip_prefix(name))
        {
            text.push_str(&format!("# HELP {name}{suffix}{help}"));
        } else {
            text.push_str(line);
        }
        text.push('\n');
    }
    text
}

/// From the type line of a metric whose samples carry a suffix: its name, the suffix, and what
/// the classic format calls its type.
fn suffixed(line: &str) -> Option<(&str, &'static str, &'static str)> {
    match line.strip_prefix("# TYPE ")?.split_once(' ')? {
        (name, "counter") => Some((name, "_total", "counter")),
        (name, "info") => Some((name, "_info", "gauge")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::metrics::{counter::Counter, histogram::Histogram, info::Info};

    use super::*;

    fn counted() -> Registry {
        let mut registry = Registry::default();
        registry.register("build", "What runs here", Info::new([("version", "1")]));
        let (asked, took) = (Counter::<u64>::default(), Histogram::new([0.5]));
        asked.inc();
        took.observe(2.0);
        registry.register("asked", "Requests answered", asked);
        registry.register("took", "How long", took);
        registry
    }

    #[test]
    fn the_classic_format_names_counters_as_their_samples() {
        let text = Exposition::Text.render(&counted()).unwrap();
        assert_eq!(
            text,
            "# HELP build_info What runs here.\n# TYPE build_info gauge\nbuild_info{version=\"1\"} 1\n\
             # HELP asked_total Requests answered.\n# TYPE asked_total counter\nasked_total 1\n\
             # HELP took How long.\n# TYPE took histogram\ntook_sum 2.0\ntook_count 1\n\
             took_bucket{le=\"0.5\"} 0\ntook_bucket{le=\"+Inf\"} 1\n"
        );
    }

    #[test]
    fn a_scraper_that_names_open_metrics_gets_it() {
        let of = |accept| Exposition::of_accept(Some(&HeaderValue::from_static(accept)));
        assert_eq!(of("application/openmetrics-text;version=1.0.0,*/*"), Exposition::OpenMetrics);
        assert_eq!(of("text/plain"), Exposition::Text);
        assert_eq!(Exposition::of_accept(None), Exposition::Text);
        assert!(Exposition::OpenMetrics.render(&counted()).unwrap().ends_with("# EOF\n"));
    }
}
