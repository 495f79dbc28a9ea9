//! What each command asks of a node, and what comes of it.

use std::{io::Read as _, time::Duration};

use bytes::Bytes;

use super::{
    command::{Command, Listing, Set, Wait, known, usage},
    fuzzy,
    problem::Problem,
    session::Session,
};
use crate::group::proto::{self, Scope};

/// What came of a command.
#[derive(Clone, Debug)]
pub(super) enum Report {
    /// `get`.
    Values {
        /// Those that were found, in the order asked.
        values: Vec<Value>,
        /// The keys that were not.
        missing: Vec<String>,
    },
    /// `set`, `del` and `clear`.
    Written {
        /// The command.
        verb: &'static str,
        /// The answer.
        reply: proto::WriteReply,
        /// Which peers were waited for.
        wait: Wait,
    },
    /// `ttl`.
    Ttl(String, proto::TtlReply),
    /// `keys` and `scan`.
    Keys {
        /// The page.
        page: proto::ScanReply,
        /// With sizes and ages.
        long: bool,
    },
    /// `stats`.
    Stats(Box<proto::StatsReply>),
    /// `peers`.
    Peers(proto::PeersReply),
    /// `owner`.
    Owner(String, proto::OwnerReply),
    /// `where`.
    Places(String, Vec<Place>),
    /// `use`.
    Using {
        /// The node.
        addr: String,
        /// The group.
        group: String,
    },
    /// `help`.
    Help(String),
    /// `quit`.
    Quit,
}

/// A key and what is known of it.
#[derive(Clone, Debug)]
pub(super) struct Value {
    /// The key.
    pub key: String,
    /// Its value.
    pub value: Bytes,
    /// Where the value was found.
    pub source: proto::Source,
    /// The node that had it; empty where that was not said.
    pub node: String,
    /// How long it lives on.
    pub ttl: Option<Duration>,
}

/// A peer, and whether it holds a key.
#[derive(Clone, Debug)]
pub(super) struct Place {
    /// The peer.
    pub addr: String,
    /// Whether the key is its own.
    pub is_owner: bool,
    /// What it holds, or why it did not say.
    pub held: Result<proto::TtlReply, Problem>,
}

/// Does what `command` says. `watch` is not among it: see [`super::watch`].
///
/// # Errors
/// The node can't be reached, refuses, or has no such key.
pub(super) async fn run(session: &mut Session, command: Command) -> Result<Report, Problem> {
    match command {
        Command::Get { keys } => get(session, keys).await,
        Command::Set(command) => set(session, command).await,
        Command::Del { keys, wait } => delete(session, keys, wait).await,
        Command::Ttl { key } => ttl(session, &key).await.map(|reply| Report::Ttl(key, reply)),
        Command::Keys(listing) => {
            scan(session, listing).await.map(|page| Report::Keys { page, long: false })
        }
        Command::Scan(listing) => {
            scan(session, listing).await.map(|page| Report::Keys { page, long: true })
        }
        Command::Stats { all } => stats(session, all).await,
        Command::Peers => peers(session).await.map(Report::Peers),
        Command::Owner { key } => owner(session, &key).await.map(|reply| Report::Owner(key, reply)),
        Command::Where { key } => {
            places(session, &key).await.map(|places| Report::Places(key, places))
        }
        Command::Clear { wait, .. } => clear(session, wait).await,
        Command::Use { target } => go_to(session, &target).await,
        Command::Help { command } => help(command.as_deref()).map(Report::Help),
        Command::Quit => Ok(Report::Quit),
        Command::Watch { .. } => Err(Problem::Usage("watch shows changes as they come".to_owned())),
    }
}

async fn get(session: &Session, keys: Vec<String>) -> Result<Report, Problem> {
    let (mut values, mut missing) = (Vec::new(), Vec::new());
    if let [key] = &*keys {
        let message =
            proto::GetRequest { group: session.group(), key: key.clone(), ..Default::default() };
        let reply = session.answer(session.client().get(session.request(message)).await)?;
        let source = reply.source();
        let Some(value) = reply.value else { return Err(Problem::NoSuchKey(key.clone())) };
        let ttl = reply.ttl_ms.map(Duration::from_millis);
        values.push(Value { key: key.clone(), value, source, node: reply.node, ttl });
        return Ok(Report::Values { values, missing });
    }
    let message = proto::GetManyRequest { group: session.group(), keys, cleared: None };
    let reply = session.answer(session.client().get_many(session.request(message)).await)?;
    for found in reply.found {
        let source = found.source();
        if !found.error.is_empty() {
            return Err(Problem::Refused(format!("{}: {}", found.key, found.error)));
        }
        let ttl = found.ttl_ms.map(Duration::from_millis);
        match found.value {
            Some(value) => {
                values.push(Value { key: found.key, value, source, node: String::new(), ttl });
            }
            None => missing.push(found.key),
        }
    }
    if values.is_empty() {
        return Err(Problem::no_such(&missing));
    }
    Ok(Report::Values { values, missing })
}

async fn set(session: &Session, command: Set) -> Result<Report, Problem> {
    let Set { key, value, ttl, wait } = command;
    let value = if value == "-" {
        let mut read = Vec::new();
        std::io::stdin().read_to_end(&mut read)?;
        Bytes::from(read)
    } else {
        Bytes::from(value)
    };
    let ttl_ms = ttl.map(|ttl| u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX));
    let message = proto::SetRequest {
        group: session.group(),
        key,
        value,
        ttl_ms,
        wait: proto::Wait::from(wait).into(),
    };
    let reply = session.answer(session.client().set(session.request(message)).await)?;
    Ok(Report::Written { verb: "set", reply, wait })
}

async fn delete(session: &Session, keys: Vec<String>, wait: Wait) -> Result<Report, Problem> {
    let message = proto::DeleteManyRequest {
        group: session.group(),
        keys,
        wait: proto::Wait::from(wait).into(),
    };
    let reply = session.answer(session.client().delete_many(session.request(message)).await)?;
    Ok(Report::Written { verb: "del", reply, wait })
}

async fn clear(session: &Session, wait: Wait) -> Result<Report, Problem> {
    let message =
        proto::ClearRequest { group: session.group(), wait: proto::Wait::from(wait).into() };
    let reply = session.answer(session.client().clear(session.request(message)).await)?;
    Ok(Report::Written { verb: "clear", reply, wait })
}

async fn ttl(session: &Session, key: &str) -> Result<proto::TtlReply, Problem> {
    let message = proto::TtlRequest { group: session.group(), key: key.to_owned() };
    session.answer(session.client().ttl(session.request(message)).await)
}

async fn scan(session: &Session, listing: Listing) -> Result<proto::ScanReply, Problem> {
    let Listing { prefix, limit, cursor, local } = listing;
    let scope = if local { Scope::Local } else { Scope::Group };
    let message =
        proto::ScanRequest { group: session.group(), prefix, cursor, limit, scope: scope.into() };
    session.answer(session.client().scan(session.request(message)).await)
}

async fn stats(session: &Session, all: bool) -> Result<Report, Problem> {
    let scope = if all { Scope::Group } else { Scope::Local };
    let message = proto::StatsRequest { group: session.group(), scope: scope.into() };
    let reply = session.answer(session.client().stats(session.request(message)).await)?;
    Ok(Report::Stats(Box::new(reply)))
}

/// Who is in the group.
///
/// # Errors
/// The node can't be reached, or refuses.
pub(super) async fn peers(session: &Session) -> Result<proto::PeersReply, Problem> {
    let message = proto::PeersRequest { group: session.group() };
    session.answer(session.client().peers(session.request(message)).await)
}

async fn owner(session: &Session, key: &str) -> Result<proto::OwnerReply, Problem> {
    let message = proto::OwnerRequest { group: session.group(), key: key.to_owned() };
    session.answer(session.client().owner(session.request(message)).await)
}

async fn places(session: &Session, key: &str) -> Result<Vec<Place>, Problem> {
    let owner = owner(session, key).await?.owner;
    let known = peers(session).await?;
    let mut asked = tokio::task::JoinSet::new();
    for peer in known.peers {
        let (session, key, own) = (session.clone(), key.to_owned(), peer.addr == known.self_);
        let is_owner = peer.addr == owner;
        asked.spawn(async move {
            let held = match if own { Ok(session) } else { session.at(&peer.addr) } {
                Ok(session) => ttl(&session, &key).await,
                Err(problem) => Err(problem),
            };
            Place { addr: peer.addr, is_owner, held }
        });
    }
    let mut places = asked.join_all().await;
    places.sort_by(|a, b| (!a.is_owner, &a.addr).cmp(&(!b.is_owner, &b.addr)));
    Ok(places)
}

/// The groups of the node.
///
/// # Errors
/// The node can't be reached, or refuses.
pub(super) async fn groups(session: &Session) -> Result<Vec<String>, Problem> {
    let reply = session.client().groups(session.request(proto::GroupsRequest {})).await;
    session.answer(reply).map(|reply| reply.groups)
}

async fn go_to(session: &mut Session, target: &str) -> Result<Report, Problem> {
    if target.contains(':') {
        let there = session.at(target)?;
        peers(&there).await?;
        *session = there;
    } else {
        let known = groups(session).await?;
        if !known.iter().any(|group| group == target) {
            let known = known.join(", ");
            return Err(Problem::Usage(format!(
                "{} has no group `{target}`; it has: {known}",
                session.addr()
            )));
        }
        session.talk_of(target);
    }
    Ok(Report::Using { addr: session.addr().to_owned(), group: session.group() })
}

fn help(command: Option<&str>) -> Result<String, Problem> {
    if let Some(command) = command {
        return usage(command);
    }
    let width = known().iter().map(|(name, _)| name.len()).max().unwrap_or_default();
    let lines = known().into_iter().map(|(name, about)| format!("  {name:width$}  {about}"));
    Ok(lines.collect::<Vec<_>>().join("\n"))
}

/// The keys that look most like `key`, best first, among the first ten thousand. Empty where none does, or nobody
/// answers.
pub(super) async fn alike(session: &Session, key: &str) -> Vec<String> {
    let listing =
        Listing { prefix: String::new(), limit: 10_000, cursor: String::new(), local: false };
    let Ok(page) = scan(session, listing).await else { return Vec::new() };
    let names: Vec<_> = page.keys.into_iter().map(|info| info.key).collect();
    fuzzy::best(key, &names, 3).into_iter().cloned().collect()
}
