//! What the command line can say.

use std::{path::PathBuf, time::Duration};

use clap::{Parser, Subcommand};

/// Drives a cluster, a gateway or single nodes with the four scenarios and reports throughput,
/// hit rate and latency.
#[derive(Clone, Debug, Parser)]
#[command(name = "kamaitachi-loadtest", version, args_override_self = true)]
#[command(
    after_help = "Exit status: 0 all answers right, 1 any answer wrong or failed, 2 usage.\n\
    Each option can stand in a file under [load], or in the environment as \
    KAMAITACHI__LOAD__OPTION; the command line wins over the environment, that over the file."
)]
pub struct Args {
    /// Other things to do.
    #[command(subcommand)]
    pub command: Option<Command>,

    /// TOML file, or INI by its extension, with any of these options in its section `load`
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Scenario: 1 two subjects, 2 one subject, 3 up to fifty subjects, 4 at a date
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=4))]
    pub scenario: u8,

    /// Requests to send [default: 10000, or as many as --duration allows]
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    pub requests: Option<u64>,

    /// Connections, each with one request in flight
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..))]
    pub concurrent: u16,

    /// Base URL; the API's paths are appended
    #[arg(long, default_value = "http://localhost:9000/data", value_parser = base_url)]
    pub target: http::Uri,

    /// Send to these nodes in turn instead of to the target (comma-separated base URLs)
    #[arg(long, value_name = "URL,URL", value_delimiter = ',', value_parser = base_url)]
    pub nodes_addr: Vec<http::Uri>,

    /// Make requests/N different requests and send each N times
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    pub repeat: u64,

    /// Open loop: send this many a second, whatever comes back; latency counts from the
    /// intended start
    #[arg(long, value_name = "PER_SECOND", value_parser = rate)]
    pub rate: Option<f64>,

    /// Stop after this long, such as 30s or 2m
    #[arg(long, value_parser = duration)]
    pub duration: Option<Duration>,

    /// Requests sent first and not counted; before a cold start the caches are emptied after them
    #[arg(long, default_value_t = 0)]
    pub warmup: u64,

    /// Choose subjects by a Zipf distribution with this exponent instead of evenly
    #[arg(long, value_name = "EXPONENT", value_parser = exponent)]
    pub zipf: Option<f64>,

    /// Seed of the generator: the same seed sends the same requests
    #[arg(long, default_value_t = 1)]
    pub seed: u64,

    /// Check every answer against an independent computation over --db
    #[arg(long)]
    pub verify: bool,

    /// SQLite file that holds what the nodes hold, for --verify
    #[arg(long, value_name = "FILE", default_value = "data/demo/master.db")]
    pub db: PathBuf,

    /// Run the five rows of the published table: S1 hot, S1 cold, S2 to S4 hot
    #[arg(long, conflicts_with_all = ["rate", "duration"])]
    pub all: bool,

    /// Extra header on every request, such as the key that lifts the gateway's limits
    #[arg(long = "header", value_name = "NAME: VALUE", value_parser = header)]
    pub headers: Vec<(http::HeaderName, http::HeaderValue)>,

    /// Sent as X-Kamaitachi-Limit-Key: lifts the limits of a gateway that has this key. The
    /// embedded cluster has the default one; empty sends none
    #[arg(long, value_name = "KEY", default_value = "kamaitachi-embedded-cluster", value_parser = key)]
    pub limit_key: http::HeaderValue,

    /// Give up on a request after this long
    #[arg(long, default_value = "30s", value_parser = duration)]
    pub timeout: Duration,

    /// Print the report as JSON
    #[arg(long)]
    pub json: bool,

    /// Write the report as JSON to a file
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,

    /// Write a line for every answer: when it came (epoch, ms), its latency (us), what became of it
    #[arg(long, value_name = "FILE")]
    pub answers: Option<PathBuf>,

    /// Write a self-contained HTML report with plots
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,

    /// Compare with an earlier report (JSON)
    #[arg(long, value_name = "OLD.json")]
    pub compare: Option<PathBuf>,

    /// Threads of the generator
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub threads: u16,
}

/// What the harness does besides measuring.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Print completions for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

/// Requests of a run that says neither how many nor how long.
pub const REQUESTS: u64 = 10_000;

impl Args {
    /// How many requests a run is made of, or would be without a time limit.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.requests.unwrap_or(REQUESTS)
    }

    /// The headers that every request carries.
    #[must_use]
    pub fn all_headers(&self) -> Vec<(http::HeaderName, http::HeaderValue)> {
        let key = (!self.limit_key.is_empty()).then(|| self.limit_key.clone());
        let key = key.map(|key| (http::HeaderName::from_static("x-kamaitachi-limit-key"), key));
        key.into_iter().chain(self.headers.iter().cloned()).collect()
    }

    /// How many requests end a run; `None` where only time does.
    #[must_use]
    pub fn limit(&self) -> Option<u64> {
        self.requests.or_else(|| self.duration.is_none().then_some(REQUESTS))
    }
}

fn base_url(text: &str) -> Result<http::Uri, String> {
    let text = text.trim();
    let text = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
    let uri: http::Uri = text.parse().map_err(|_| "not a URL".to_owned())?;
    if uri.scheme_str() != Some("http") {
        return Err("expected an http:// URL".to_owned());
    }
    if uri.host().is_none_or(str::is_empty) {
        return Err("expected a host, as in http://localhost:9000/data".to_owned());
    }
    if uri.query().is_some() {
        return Err("a base URL has no query".to_owned());
    }
    Ok(uri)
}

fn rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if (0.001..=10_000_000.0).contains(&rate) => Ok(rate),
        _ => Err("expected requests a second, from 0.001 to 10000000".to_owned()),
    }
}

fn exponent(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(s) if (0.0..=10.0).contains(&s) => Ok(s),
        _ => Err("expected a number from 0 (even) to 10".to_owned()),
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let scale = match unit {
        "ms" => 0.001,
        "" | "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err("expected a time such as 500ms, 30s, 2m or 1h".to_owned()),
    };
    let number: f64 = number.parse().map_err(|_| "expected a time such as 30s".to_owned())?;
    match Duration::try_from_secs_f64(number * scale) {
        Ok(time) if !time.is_zero() => Ok(time),
        _ => Err("expected a time above zero".to_owned()),
    }
}

fn key(text: &str) -> Result<http::HeaderValue, String> {
    let mut value: http::HeaderValue =
        text.trim().parse().map_err(|_| "expected visible ASCII characters".to_owned())?;
    value.set_sensitive(true);
    Ok(value)
}

fn header(text: &str) -> Result<(http::HeaderName, http::HeaderValue), String> {
    let (name, value) = text.split_once(':').ok_or("expected NAME: VALUE")?;
    let name = name.trim().parse().map_err(|_| "not a header name".to_owned())?;
    let value = value.trim().parse().map_err(|_| "not a header value".to_owned())?;
    Ok((name, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documented_line_parses() {
        let args = Args::try_parse_from([
            "kamaitachi-loadtest",
            "--scenario",
            "4",
            "--requests",
            "10000",
            "--concurrent",
            "50",
            "--target",
            "http://localhost:9000/data",
            "--nodes-addr",
            "http://localhost:8081,localhost:8082",
            "--repeat",
            "10",
        ])
        .unwrap();
        assert_eq!(args.nodes_addr[1].to_string(), "http://localhost:8082/");
        assert_eq!((args.scenario, args.repeat), (4, 10));
    }

    #[test]
    fn times_take_units_and_refuse_zero() {
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(duration("2m"), Ok(Duration::from_mins(2)));
        assert_eq!(duration("1.5"), Ok(Duration::from_millis(1500)));
        for bad in ["", "0s", "5 s", "s", "-1s", "3d", "1e400s"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_target_must_be_plain_http() {
        for bad in ["https://x/", "http://", "ftp://x", "http://x/?q=1"] {
            assert!(base_url(bad).is_err(), "{bad}");
        }
    }
}
