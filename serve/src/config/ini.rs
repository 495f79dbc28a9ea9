//! What the INI parser lets pass or tells badly.

use std::collections::HashSet;

/// Finds what makes a text no INI file, or one that says two things: a line that is none, and a key that is set twice,
/// of which the parser would take the last. Names the line.
pub(super) fn check(text: &str) -> Result<(), String> {
    let (mut section, mut seen) = ("", HashSet::new());
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        if line.is_empty() || line.starts_with([';', '#']) {
            continue;
        }
        if let Some(rest) = line.strip_prefix('[') {
            let end = rest.find(']').ok_or_else(|| format!("line {number}: expected ]"))?;
            section = rest[..end].trim();
            continue;
        }
        let Some((key, _)) = line.split_once(['=', ':']) else {
            return Err(format!("line {number}: expected KEY = VALUE or [SECTION]"));
        };
        if !seen.insert((section, key.trim())) {
            let dot = if section.is_empty() { "" } else { "." };
            return Err(format!("line {number}: `{section}{dot}{}` is set twice", key.trim()));
        }
    }
    Ok(())
}
