//! Members that are looked up again and again: from a file that somebody edits, from what a name resolves to.
//!
//! A look that fails, and one that finds nobody, leave the members as they are: a file is empty for a moment while an
//! editor writes it, and a resolver that answers nothing is more often broken than right. Whoever wants no nodes stops
//! the gateway.

use std::{
    convert::Infallible,
    io,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    sync::Arc,
    time::{Duration, SystemTime},
};

use kamaitachi_serve::spawn_supervised;
use tokio::{
    sync::watch,
    time::{MissedTickBehavior, interval, timeout},
};
use tracing::{info, warn};

use crate::{
    Found, Health, NodeAddr, Origin,
    allow::{Allow, Refusal, host_addresses},
    follow::BACK_OFF,
    view::MOST_NODES,
};

/// Where to look.
#[derive(Clone, Debug)]
pub enum Source {
    /// A file: one address a line, where `#` begins a comment, or a JSON array of addresses.
    File(PathBuf),
    /// A name and a port: the members are all addresses that the name has, at that port.
    Name(NodeAddr),
}

/// Why a look did not help.
#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error("{}: {source}", path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("line {line}: {source}")]
    NoAddress { line: usize, source: crate::InvalidNodeAddr },
    #[error("expected a JSON array of addresses: {0}")]
    NoList(serde_json::Error),
    #[error("{0} does not resolve: {1}")]
    Unresolved(NodeAddr, io::Error),
    #[error("{0} {1}")]
    Refused(NodeAddr, Refusal),
    #[error("no answer within {0:?}")]
    TimedOut(Duration),
    #[error("nobody is there; the members stay as they are")]
    Nobody,
    #[error("{0} addresses, at most {MOST_NODES} are possible")]
    TooMany(usize),
}

/// Looks at `source` every `every`, beginning with the members in `start`. What is refused by `allow` is no member; of
/// what a file holds only this process itself is, since whoever writes the file decides as whoever writes the
/// configuration does.
///
/// # Panics
/// Outside a tokio runtime, or if `every` is zero.
#[must_use]
pub fn start(source: Source, allow: Allow, every: Duration, start: Vec<NodeAddr>) -> Found {
    let origin = match source {
        Source::File(_) => Origin::File,
        Source::Name(_) => Origin::Dns,
    };
    let (members, followed) = watch::channel(Arc::from(start));
    let (health, healths) = watch::channel(Health::new(Origin::Static));
    let shared = Arc::new((source, allow, members, health));
    let task = spawn_supervised("look-up of nodes", BACK_OFF, move || {
        let shared = Arc::clone(&shared);
        async move {
            let (source, allow, members, health) = &*shared;
            let mut turns = interval(every);
            turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                turns.tick().await;
                let found = timeout(every.max(SHORTEST), look(source, allow)).await;
                let found = found.unwrap_or(Err(Failed::TimedOut(every.max(SHORTEST))));
                tell(origin, found, members, health);
            }
            #[expect(unreachable_code, reason = "says what the task would end with")]
            Ok::<_, Infallible>(())
        }
    });
    Found::by_task(followed, healths, task)
}

/// A resolver may take this long even where it is asked more often.
const SHORTEST: Duration = Duration::from_secs(5);

fn tell(
    origin: Origin,
    found: Result<Vec<NodeAddr>, Failed>,
    members: &watch::Sender<Arc<[NodeAddr]>>,
    health: &watch::Sender<Health>,
) {
    let found = match found {
        Ok(found) => found,
        Err(failure) => {
            let trouble = failure.to_string();
            health.send_if_modified(|health| {
                let is_new = health.trouble.as_ref() != Some(&trouble);
                if is_new {
                    warn!(%origin, trouble, "nodes cannot be looked up");
                    health.trouble = Some(trouble);
                    health.connected = false;
                }
                is_new
            });
            return;
        }
    };
    let changed = members.send_if_modified(|known| {
        let changed = **known != *found;
        if changed {
            info!(%origin, members = ?found, before = known.len(), "members changed");
            *known = found.into();
        }
        changed
    });
    health.send_modify(|health| {
        health.origin = origin;
        health.synced = Some(SystemTime::now());
        health.connected = true;
        health.trouble = None;
        health.epoch += u64::from(changed);
    });
}

async fn look(source: &Source, allow: &Allow) -> Result<Vec<NodeAddr>, Failed> {
    let mut found = match source {
        Source::File(path) => {
            let read = tokio::fs::read_to_string(path).await;
            let unreadable = |source| Failed::Unreadable { path: path.clone(), source };
            let mut found = parse(&read.map_err(unreadable)?)?;
            found.retain(|addr| !is_own(allow, addr));
            found
        }
        Source::Name(name) => resolve(name, allow).await?,
    };
    found.sort();
    found.dedup();
    match found.len() {
        0 => Err(Failed::Nobody),
        n if n > MOST_NODES => Err(Failed::TooMany(n)),
        _ => Ok(found),
    }
}

/// The addresses in the text of a file.
fn parse(text: &str) -> Result<Vec<NodeAddr>, Failed> {
    let items: Vec<(usize, String)> = if text.trim_start().starts_with('[') {
        let list: Vec<String> = serde_json::from_str(text).map_err(Failed::NoList)?;
        (1..).zip(list).collect()
    } else {
        let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
        (1..).zip(lines.map(str::to_owned)).filter(|(_, line)| !line.is_empty()).collect()
    };
    let addr = |(line, text): (usize, String)| {
        text.parse().map_err(|source| Failed::NoAddress { line, source })
    };
    items.into_iter().map(addr).collect()
}

fn is_own(allow: &Allow, addr: &NodeAddr) -> bool {
    let resolved = host_addresses(addr.host()).unwrap_or_default();
    let only_own = Allow { networks: everything(), own: allow.own.clone() };
    only_own.check(addr, &resolved) == Err(Refusal::Own)
}

fn everything() -> Vec<ipnet::IpNet> {
    ["0.0.0.0/0", "::/0"].iter().filter_map(|cidr| cidr.parse().ok()).collect()
}

async fn resolve(name: &NodeAddr, allow: &Allow) -> Result<Vec<NodeAddr>, Failed> {
    let unresolved = |source| Failed::Unresolved(name.clone(), source);
    let found: Vec<IpAddr> = match host_addresses(name.host()) {
        Some(known) => known,
        None => {
            let found = tokio::net::lookup_host((name.host(), name.port())).await;
            found.map_err(unresolved)?.map(|addr| addr.ip()).collect()
        }
    };
    found
        .into_iter()
        .map(|ip| {
            let text = SocketAddr::new(ip, name.port()).to_string();
            let addr = text.parse().map_err(|_| Failed::Nobody)?;
            match allow.check(&addr, &[ip]) {
                Ok(()) => Ok(addr),
                Err(why) => Err(Failed::Refused(addr, why)),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(found: &[NodeAddr]) -> Vec<&str> {
        found.iter().map(NodeAddr::as_str).collect()
    }

    #[test]
    fn a_file_has_an_address_a_line_or_is_a_json_array() {
        let lines = "# ours\n127.0.0.1:8081\n\n  [::1]:8082  # second\n";
        assert_eq!(texts(&parse(lines).unwrap()), ["127.0.0.1:8081", "[::1]:8082"]);
        let json = r#" ["a:1", "b:2"] "#;
        assert_eq!(texts(&parse(json).unwrap()), ["a:1", "b:2"]);
        assert!(parse("a:1\nb\n").unwrap_err().to_string().starts_with("line 2: expected HOST"));
        assert!(parse("[1]").unwrap_err().to_string().starts_with("expected a JSON array"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_file_is_followed_and_nobody_is_lost_to_a_bad_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("nodes");
        let allow = Allow { own: vec!["127.0.0.1:9000".parse().unwrap()], ..Allow::default() };
        let source = Source::File(path.clone());
        let start = vec!["a:1".parse().unwrap()];
        let found = super::start(source, allow, Duration::from_secs(1), start);
        let mut health = found.health_changes();
        health.wait_for(|health| health.trouble.is_some()).await.unwrap();
        assert_eq!(texts(&found.now()), ["a:1"], "without the file, the list of the start");
        std::fs::write(&path, "b:1\n8.8.8.8:1\n127.0.0.1:9000\nb:1\n").unwrap();
        health.wait_for(|health| health.epoch == 1).await.unwrap();
        assert_eq!(texts(&found.now()), ["8.8.8.8:1", "b:1"]);
        std::fs::write(&path, "").unwrap();
        health.wait_for(|health| health.trouble.is_some()).await.unwrap();
        assert_eq!(found.now().len(), 2);
        std::fs::write(&path, r#"["c:1"]"#).unwrap();
        health.wait_for(|health| health.epoch == 2).await.unwrap();
        assert_eq!(texts(&found.now()), ["c:1"]);
    }

    #[tokio::test]
    async fn a_name_stands_for_all_its_addresses_that_are_allowed() {
        let name: NodeAddr = "localhost:8081".parse().unwrap();
        let found = resolve(&name, &Allow::default()).await.unwrap();
        assert_eq!(texts(&found), ["127.0.0.1:8081"]);
        let nothing = Allow { networks: Vec::new(), own: Vec::new() };
        let refused = resolve(&name, &nothing).await.unwrap_err().to_string();
        assert!(refused.contains("127.0.0.1:8081 127.0.0.1 is in none"), "{refused}");
    }
}
