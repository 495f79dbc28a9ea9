//! What the README shows is what happens: each `$ command` in it is run against the embedded
//! cluster, and its output compared. `…` stands for anything; alone on a line, for any lines.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use crate::demo::Demo;

/// A command and the lines that it prints.
struct Shown {
    command: String,
    prints: Vec<String>,
}

fn shown() -> Vec<Shown> {
    let readme = include_str!("../../../README.md");
    let blocks = readme.split("```console\n").skip(1);
    let blocks = blocks.map(|block| block.split_once("```").expect("the block ends").0);
    let mut all: Vec<Shown> = Vec::new();
    for line in blocks.flat_map(str::lines) {
        match line.strip_prefix("$ ") {
            Some(command) => all.push(Shown { command: command.to_owned(), prints: Vec::new() }),
            None => all.last_mut().expect("a command comes first").prints.push(line.to_owned()),
        }
    }
    all
}

/// Whether `text` is `pattern` with something for each `…`.
fn line_matches(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('…');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let parts: Vec<_> = parts.collect();
    let Some((last, middle)) = parts.split_last() else { return rest.is_empty() };
    for part in middle {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

fn matches(pattern: &[String], text: &[&str]) -> bool {
    match pattern.split_first() {
        None => text.is_empty(),
        Some((any, rest)) if any == "…" => {
            (0..=text.len()).any(|skipped| matches(rest, &text[skipped..]))
        }
        Some((line, rest)) => {
            text.split_first().is_some_and(|(t, more)| line_matches(line, t) && matches(rest, more))
        }
    }
}

/// The folder of the programs, the load harness among them.
fn programs() -> PathBuf {
    let gateway = Path::new(env!("CARGO_BIN_EXE_kamaitachi-gateway"));
    let folder = gateway.parent().unwrap().to_owned();
    if !folder.join("kamaitachi-loadtest").exists() {
        // Only this crate was built for this test.
        let mut cargo = Command::new(env!("CARGO"));
        let built = cargo.args(["build", "--locked", "-p", "kamaitachi-loadtest"]).status();
        assert!(built.unwrap().success());
    }
    folder
}

#[test]
fn every_command_of_the_readme_prints_what_it_says() {
    let dir = tempfile::tempdir().unwrap();
    let demo = Demo::start(&dir.path().join("data/demo"), &[]);
    let (gateway, master) = (demo.addr("gateway").to_string(), demo.addr("master").to_string());
    let path = format!("{}:{}", programs().display(), std::env::var("PATH").unwrap());
    let all = shown();
    assert!(all.len() >= 5, "the README shows commands");
    for Shown { command, prints } in all {
        let here = command.replace("localhost:9000", &gateway).replace("localhost:8080", &master);
        let mut shell = Command::new("sh");
        let output =
            shell.args(["-c", &here]).current_dir(dir.path()).env("PATH", &path).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).replace('\r', "");
        let lines: Vec<_> = text.lines().collect();
        assert!(output.status.success(), "{command}\n{text}");
        assert!(matches(&prints, &lines), "{command}\nprints\n{text}\ninstead of\n{prints:#?}");
    }
}

#[test]
fn the_comparison_tells_right_from_wrong() {
    let lines = |text: &str| -> Vec<String> { text.lines().map(str::to_owned).collect() };
    for (pattern, text, same) in [
        ("a", "a", true),
        ("a", "ab", false),
        ("a…c", "abc", true),
        ("a…c", "abd", false),
        ("…", "", true),
        ("…\nb", "x\ny\nb", true),
        ("…\nb", "x\ny\nc", false),
        ("{…},…}", "{x},y}", true),
    ] {
        let text: Vec<_> = text.lines().collect();
        assert_eq!(matches(&lines(pattern), &text), same, "{pattern} {text:?}");
    }
}
