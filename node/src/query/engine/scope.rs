//! Whose rows a query is about, by name.

use std::borrow::Cow;

use smallvec::SmallVec;

use crate::{
    cache::MemberKey,
    model::Subject,
    query::{Scope, Selection},
};

/// Names in the order of the answer; inline for as many as requests usually name.
pub(super) type Names<'a> = SmallVec<[&'a str; 8]>;

/// The list a scope needs to be resolved, with its keyword in lower case.
pub(super) struct Lookup<'a> {
    id: Option<(&'a str, Cow<'a, str>)>,
    topic: &'a str,
}

impl Lookup<'_> {
    pub(super) fn key(&self) -> MemberKey<'_> {
        match &self.id {
            None => MemberKey::Topic(self.topic),
            Some((id, keyword)) => MemberKey::Tagged { id, topic: self.topic, keyword },
        }
    }
}

impl Scope {
    pub(super) fn lookup(&self) -> Option<Lookup<'_>> {
        match self {
            Self::Subjects(_) => None,
            Self::Topic(topic) | Self::TopicAnd(topic, _) => Some(Lookup { id: None, topic }),
            Self::Selection(Selection { id, topic, keyword, .. }) => {
                let plain = keyword.bytes().all(|b| b.is_ascii() && !b.is_ascii_uppercase());
                let keyword =
                    if plain { Cow::Borrowed(&**keyword) } else { keyword.to_lowercase().into() };
                Some(Lookup { id: Some((id, keyword)), topic })
            }
        }
    }

    /// The names, given the list that [`lookup`](Self::lookup) asked for, in ascending order.
    pub(super) fn names<'a>(&'a self, members: &'a [Subject]) -> Names<'a> {
        let is_member = |name: &str| members.binary_search_by(|m| (**m).cmp(name)).is_ok();
        match self {
            Self::Subjects(list) => list.iter().collect(),
            Self::Topic(_) => members.iter().map(|name| &**name).collect(),
            Self::TopicAnd(_, list) => list.iter().filter(|name| is_member(name)).collect(),
            Self::Selection(Selection { subjects: None, .. }) => {
                members.iter().map(|name| &**name).collect()
            }
            Self::Selection(Selection { subjects: Some(list), .. }) => {
                let mut names: Names<'_> = list.iter().filter(|name| is_member(name)).collect();
                names.sort_unstable();
                names
            }
        }
    }
}
