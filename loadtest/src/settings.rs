//! The layers under the command line: a file, then the environment.
//!
//! Both are turned into options and put in front of the command line's own, which therefore win;
//! so there is one list of options, one set of checks and one kind of error message.

use std::{ffi::OsString, path::Path};

use clap::{CommandFactory, FromArgMatches};

use crate::args::Args;

/// The environment's prefix: `KAMAITACHI__LOAD__RATE=100` is `--rate 100`.
pub const ENV_PREFIX: &str = "KAMAITACHI__LOAD__";

/// Reads the command line, the file it names with `--config`, and the environment.
///
/// Single-dash long options (`-scenario 1`) are taken as the double-dash ones.
///
/// # Errors
/// A usage error, or a mistake in the file or the environment that names where it stands.
pub fn read(
    line: impl IntoIterator<Item = OsString>,
    environment: impl IntoIterator<Item = (String, String)>,
) -> Result<Args, clap::Error> {
    let line: Vec<OsString> = line.into_iter().map(double_dash).collect();
    let first = parse(line.clone())?;
    let mut all: Vec<OsString> = line.first().cloned().into_iter().collect();
    if let Some(file) = &first.config {
        all.extend(from_file(file).map_err(usage)?);
    }
    for (name, value) in environment {
        if let Some(key) = name.strip_prefix(ENV_PREFIX) {
            let key = key.to_ascii_lowercase();
            let value = toml::Value::String(value);
            all.extend(option(&key, &value).map_err(|why| usage(format!("{name}: {why}")))?);
        }
    }
    all.extend(line.into_iter().skip(1));
    parse(all)
}

fn parse(line: Vec<OsString>) -> Result<Args, clap::Error> {
    let matches = Args::command().try_get_matches_from(line)?;
    Args::from_arg_matches(&matches)
}

fn usage(why: String) -> clap::Error {
    Args::command().error(clap::error::ErrorKind::InvalidValue, why)
}

/// A usage error on one line, without the usage itself.
#[must_use]
pub fn one_line(error: &clap::Error) -> String {
    let said = error.render().to_string();
    let lines = said.lines().map(str::trim).filter(|line| !line.is_empty());
    let about =
        lines.take_while(|line| !line.starts_with("Usage:") && !line.starts_with("For more"));
    let joined = about.collect::<Vec<_>>().join("; ").replace(":; ", ": ");
    format!("{joined} (see --help)")
}

fn double_dash(arg: OsString) -> OsString {
    match arg.to_str() {
        Some(text)
            if text.len() > 2
                && text.starts_with('-')
                && text[1..].starts_with(|c: char| c.is_ascii_lowercase()) =>
        {
            format!("-{}", text.replace("nodesAddr", "nodes-addr")).into()
        }
        _ => arg,
    }
}

fn from_file(file: &Path) -> Result<Vec<OsString>, String> {
    let name = file.display();
    let text = std::fs::read_to_string(file).map_err(|e| format!("{name}: {e}"))?;
    let is_ini = file.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("ini"));
    let table = if is_ini { ini(&text) } else { toml(&text) };
    let table = table.map_err(|why| format!("{name}: {why}"))?;
    let mut options = Vec::new();
    for (section, keys) in table {
        let Some(keys) = keys.as_table().filter(|_| section == "load") else {
            return Err(format!("{name}: unknown key `{section}`; everything stands under [load]"));
        };
        for (key, value) in keys {
            let here = |why| format!("{name}: load.{key}: {why}");
            let given = option(key, value).map_err(here)?;
            // Tried by itself, so that a value that is refused is told by its key.
            let line = std::iter::once("kamaitachi-loadtest".into()).chain(given.iter().cloned());
            parse(line.collect()).map_err(|why| here(reason(&why)))?;
            options.extend(given);
        }
    }
    Ok(options)
}

/// Why an option was refused, without what clap says around it.
fn reason(error: &clap::Error) -> String {
    let said = one_line(error);
    let said = said.trim_start_matches("error: ").trim_end_matches(" (see --help)");
    said.split_once(">': ").map_or(said, |(_, why)| why).to_owned()
}

fn toml(text: &str) -> Result<toml::Table, String> {
    text.parse().map_err(|error: toml::de::Error| {
        let before = &text[..error.span().map_or(0, |span| span.start)];
        format!("line {}: {}", before.matches('\n').count() + 1, error.message())
    })
}

/// Sections of `KEY = VALUE`, and comments from `;` or `#` at the start of a line. Lists are separated by commas.
fn ini(text: &str) -> Result<toml::Table, String> {
    let (mut sections, mut section) = (toml::Table::new(), String::new());
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        if line.is_empty() || line.starts_with([';', '#']) {
            continue;
        }
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            name.trim().clone_into(&mut section);
            continue;
        }
        let Some((key, value)) = line.split_once('=') else {
            return Err(format!("line {number}: expected KEY = VALUE or [SECTION]"));
        };
        let (key, value) = (key.trim(), value.trim().trim_matches('"').to_owned());
        let keys =
            sections.entry(&*section).or_insert_with(|| toml::Value::Table(toml::Table::new()));
        let twice = keys
            .as_table_mut()
            .is_some_and(|keys| keys.insert(key.to_owned(), value.into()).is_some());
        if twice {
            return Err(format!("line {number}: {section}.{key} is set twice"));
        }
    }
    Ok(sections)
}

/// One key and its value as command-line options.
fn option(key: &str, value: &toml::Value) -> Result<Vec<OsString>, String> {
    let long = key.replace('_', "-");
    let command = Args::command();
    let known = || command.get_arguments().filter_map(clap::Arg::get_long);
    let Some(arg) = command
        .get_arguments()
        .find(|arg| arg.get_long() == Some(&long) && !matches!(&*long, "config" | "help"))
    else {
        let nearest = known().min_by_key(|name| distance(name, &long));
        return Err(format!("unknown key; did you mean `{}`?", nearest.unwrap_or("scenario")));
    };
    if !arg.get_action().takes_values() {
        return match value {
            toml::Value::Boolean(true) => Ok(vec![format!("--{long}").into()]),
            toml::Value::Boolean(false) => Ok(Vec::new()),
            toml::Value::String(text) if text == "true" => Ok(vec![format!("--{long}").into()]),
            toml::Value::String(text) if text == "false" => Ok(Vec::new()),
            _ => Err("expected true or false".to_owned()),
        };
    }
    let values = match value {
        toml::Value::Array(values) => values.iter().map(plain).collect::<Result<Vec<_>, _>>()?,
        one => vec![plain(one)?],
    };
    Ok(values.into_iter().map(|value| format!("--{long}={value}").into()).collect())
}

fn plain(value: &toml::Value) -> Result<String, String> {
    match value {
        toml::Value::String(text) => Ok(text.clone()),
        toml::Value::Integer(number) => Ok(number.to_string()),
        toml::Value::Float(number) => Ok(number.to_string()),
        _ => Err("expected a text or a number".to_owned()),
    }
}

/// Levenshtein distance, for "did you mean".
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.bytes().enumerate() {
            let substituted = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> Vec<OsString> {
        text.split(' ').map(Into::into).collect()
    }

    fn file(text: &str) -> (tempfile::TempDir, String) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("load.toml");
        std::fs::write(&path, text).unwrap();
        let path = path.display().to_string();
        (dir, path)
    }

    #[test]
    fn the_line_beats_the_environment_beats_the_file() {
        let (_dir, path) = file("[load]\nrequests = 5\nseed = 6\nrepeat = 7\nverify = true");
        let environment = [("SEED", "60"), ("REPEAT", "70")]
            .map(|(key, value)| (format!("{ENV_PREFIX}{key}"), value.to_owned()));
        let args = read(line(&format!("x --config {path} --repeat 700")), environment).unwrap();
        assert_eq!((args.requests, args.seed, args.repeat, args.verify), (Some(5), 60, 700, true));
    }

    #[test]
    fn an_unknown_key_is_named_with_the_nearest_known_one() {
        let (_dir, path) = file("[load]\nscenaro = 1");
        let why = read(line(&format!("x --config {path}")), []).unwrap_err().to_string();
        assert!(why.contains("load.scenaro") && why.contains("did you mean `scenario`"), "{why}");
    }

    #[test]
    fn an_ini_file_says_what_a_toml_file_says() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("load.INI");
        let text = "; mine\n[load]\nrequests = 5\nverify=true\ntarget = http://a:1/data\n\
                    nodes_addr = http://a:2,http://a:3\n# end\nheader = \"A: b\"\n";
        std::fs::write(&path, text).unwrap();
        let args = read(line(&format!("x --config {}", path.display())), []).unwrap();
        assert_eq!((args.requests, args.verify, args.nodes_addr.len()), (Some(5), true, 2));
        assert_eq!(
            (args.target.to_string(), args.headers.len()),
            ("http://a:1/data".to_owned(), 1)
        );
    }

    #[test]
    fn a_bad_value_in_the_environment_is_a_usage_error() {
        let environment = [(format!("{ENV_PREFIX}SCENARIO"), "9".to_owned())];
        let why = read(line("x"), environment).unwrap_err();
        assert_eq!(why.exit_code(), 2);
    }

    #[test]
    fn single_dashes_of_the_old_tool_still_work() {
        let args = read(line("x -scenario 2 -nodesAddr http://localhost:8081"), []).unwrap();
        assert_eq!((args.scenario, args.nodes_addr.len()), (2, 1));
    }

    #[test]
    fn the_shipped_file_parses_with_every_key_uncommented_too() {
        let shipped = include_str!("../../conf/loadtest.toml");
        let (_dir, path) = file(shipped);
        read(line(&format!("x --config {path}")), []).unwrap();
        let keys = shipped.lines().filter_map(|l| l.trim_start_matches("# ").split_once(" = "));
        let keys: Vec<_> = keys.map(|(key, _)| key.replace('_', "-")).collect();
        for arg in Args::command().get_arguments().filter_map(clap::Arg::get_long) {
            let told = matches!(arg, "config" | "help" | "version");
            assert!(
                told || keys.iter().any(|key| key == arg),
                "{arg} is not in conf/loadtest.toml"
            );
        }
    }
}
