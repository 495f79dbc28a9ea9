//! Where keys come from.
use std::{fmt, str::FromStr};

use bytes::Bytes;
use http::HeaderName;

use super::{RoutingKey, head, json};
use crate::head::Head;

/// One place to look for the key.
///
/// In configuration: `body:FIELD.FIELD`, `header:NAME`, `query:NAME`, `cookie:NAME`, `path:INDEX` (segments counted
/// from 0), `path:/prefix/{name}`, `client-ip`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySource {
    /// A field of a JSON object in the body, through objects: `["selection", "subject"]`.
    Body(Vec<String>),
    /// A header.
    Header(HeaderName),
    /// A parameter of the query.
    Query(String),
    /// A segment of the path; `/a/b` has `a` as 0 and `b` as 1.
    PathSegment(usize),
    /// The segment that has the place of `{name}`, in paths of that form.
    Path(PathPattern),
    /// A cookie.
    Cookie(String),
    /// The client's address, see [`Head::client_ip`].
    ClientIp,
}

/// A path with one variable segment: `/data/v1/get/{id}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathPattern {
    before: String,
    after: String,
}

impl PathPattern {
    /// The variable segment of `path`, if the path is of this form. A trailing slash does not count.
    pub(super) fn segment<'a>(&self, path: &'a str) -> Option<&'a str> {
        let rest = path.strip_prefix(&*self.before)?;
        let end = rest.find('/').unwrap_or(rest.len());
        let (segment, rest) = rest.split_at(end);
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        (rest == self.after).then_some(segment)
    }
}

/// A source that cannot be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidKeySource {
    /// It is none of the known forms.
    #[error(
        "key source {0:?}: expected body:FIELD, header:NAME, query:NAME, cookie:NAME, path:INDEX, \
         path:/prefix/{{name}} or client-ip"
    )]
    Unknown(String),
    /// A name or a part of it is empty or malformed.
    #[error("key source {0:?}: bad name")]
    Name(String),
    /// A path pattern without exactly one `{name}` segment.
    #[error("key source {0:?}: expected a path with one {{name}} segment")]
    Pattern(String),
    /// More body fields than one pass can tell apart.
    #[error("{0} key sources in the body, expected {max} at most", max = json::MAX_FIELDS)]
    TooManyFields(usize),
}

impl FromStr for PathPattern {
    type Err = InvalidKeySource;

    fn from_str(pattern: &str) -> Result<Self, InvalidKeySource> {
        let invalid = || InvalidKeySource::Pattern(pattern.to_owned());
        let trimmed = pattern.trim_end_matches('/');
        let (before, rest) = trimmed.split_once('{').ok_or_else(invalid)?;
        let (_, after) = rest.split_once('}').ok_or_else(invalid)?;
        let is_segment = before.ends_with('/') && (after.is_empty() || after.starts_with('/'));
        if !pattern.starts_with('/') || !is_segment || after.contains('{') {
            return Err(invalid());
        }
        Ok(Self { before: before.to_owned(), after: after.to_owned() })
    }
}

impl FromStr for KeySource {
    type Err = InvalidKeySource;

    fn from_str(text: &str) -> Result<Self, InvalidKeySource> {
        let (kind, name) = text.trim().split_once(':').unwrap_or((text.trim(), ""));
        let name = name.trim();
        let bad_name = || InvalidKeySource::Name(text.to_owned());
        let named = || if name.is_empty() { Err(bad_name()) } else { Ok(name.to_owned()) };
        match kind {
            "body" => Ok(Self::Body(named()?.split('.').map(str::to_owned).collect())),
            "header" => named()?.parse().map(Self::Header).map_err(|_| bad_name()),
            "query" => named().map(Self::Query),
            "cookie" => named().map(Self::Cookie),
            "path" if name.starts_with('/') => name.parse().map(Self::Path),
            "path" => name.parse().map(Self::PathSegment).map_err(|_| bad_name()),
            "client-ip" if name.is_empty() => Ok(Self::ClientIp),
            _ => Err(InvalidKeySource::Unknown(text.to_owned())),
        }
    }
}

/// Sources in the order in which they are asked, checked and ready for use.
#[derive(Clone)]
pub struct KeySources {
    sources: Box<[KeySource]>,
    fields: json::Fields,
}

impl KeySources {
    /// Sources in this order. None at all is allowed: then no request has a key.
    ///
    /// # Errors
    ///
    /// [`InvalidKeySource`] if a body field has an empty name, or there are more than 32 body fields.
    pub fn new(sources: impl IntoIterator<Item = KeySource>) -> Result<Self, InvalidKeySource> {
        let sources: Box<[_]> = sources.into_iter().collect();
        let paths = sources.iter().filter_map(|source| match source {
            KeySource::Body(path) => Some(path.clone()),
            _ => None,
        });
        let fields = json::Fields::new(paths)?;
        Ok(Self { sources, fields })
    }

    /// Sources in this order, as they stand in a configuration.
    ///
    /// # Errors
    ///
    /// [`InvalidKeySource`] for the first that is malformed.
    pub fn parse<'a>(sources: impl IntoIterator<Item = &'a str>) -> Result<Self, InvalidKeySource> {
        let sources: Result<Vec<KeySource>, _> = sources.into_iter().map(str::parse).collect();
        Self::new(sources?)
    }

    /// What the head alone decides: all sources if there is no body, else those before the first body field.
    pub(super) fn in_head(&self, head: Head<'_>, has_body: bool) -> Option<RoutingKey> {
        self.sources
            .iter()
            .take_while(|source| !(has_body && matches!(source, KeySource::Body(_))))
            .find_map(|source| head::find(source, head))
    }

    /// Whether the body may decide, where the head did not.
    pub(super) fn need_body(&self) -> bool {
        !self.fields.is_empty()
    }

    /// What all sources say, with the body at hand.
    pub(super) fn find(&self, head: Head<'_>, body: &Bytes) -> Option<RoutingKey> {
        // Of the body's fields only the first that is there can win, so one is all that is looked for.
        let mut in_body = self.fields.find(body);
        let mut field = 0;
        for source in &self.sources {
            if !matches!(source, KeySource::Body(_)) {
                if let Some(key) = head::find(source, head) {
                    return Some(key);
                }
                continue;
            }
            if in_body.as_ref().is_some_and(|(found, _)| *found == field) {
                return in_body.take().map(|(_, key)| key);
            }
            field += 1;
        }
        None
    }
}

impl fmt::Debug for KeySources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.sources).finish()
    }
}
