//! Which part of a question goes where.

use std::{fmt, sync::Arc};

use bytes::Bytes;
use http::{
    HeaderName, HeaderValue, Method,
    header::{ACCEPT_ENCODING, CONTENT_ENCODING},
};
use kamaitachi_layers::{
    head::Head,
    key::RoutingKey,
    scatter::{Part, Parts, Split},
    select::Pool,
};

use super::{
    merge::ByOwnerMerge,
    question::{Named, Question},
};
use crate::metrics::Scattered;

/// Tells a node that a request is a part, and of how many subjects the whole is.
pub(super) const X_KAMAITACHI_PART: HeaderName = HeaderName::from_static("x-kamaitachi-part");

/// Splits questions by the members of a pool to whom their subjects belong.
pub struct ByOwner<E> {
    pool: Pool<E>,
    counts: Arc<Scattered>,
}

/// What a member is to be asked about.
struct Group {
    /// Its name.
    owner: Arc<str>,
    /// The places of the names of its subjects.
    places: Vec<usize>,
}

impl<E> ByOwner<E> {
    /// By the members of `pool`, as they come and go.
    #[must_use]
    pub fn new(pool: Pool<E>, counts: Arc<Scattered>) -> Self {
        Self { pool, counts }
    }

    /// What each member is to be asked about; `None` where one member has all.
    fn groups(&self, named: &Named<'_>) -> Option<Vec<Group>> {
        let members = self.pool.members();
        if members.len() < 2 || named.names.len() < 2 {
            return None;
        }
        let mut groups: Vec<Group> = Vec::new();
        let mut group_of = vec![None; members.len()];
        for (place, name) in named.names.iter().enumerate() {
            let owner = members.position(name.as_bytes())?;
            let group = *group_of[owner].get_or_insert_with(|| {
                let owner = members.iter().nth(owner).map(|member| Arc::clone(member.name()));
                groups.push(Group { owner: owner.unwrap_or_default(), places: Vec::new() });
                groups.len() - 1
            });
            groups[group].places.push(place);
        }
        (groups.len() > 1).then_some(groups)
    }
}

impl<E> Split for ByOwner<E> {
    type Merge = ByOwnerMerge;

    fn split(&self, head: Head<'_>, body: &Bytes) -> Option<Parts<ByOwnerMerge>> {
        let (question, place) = Question::of_path(head.uri.path())?;
        let is_ours = *head.method == Method::POST
            && !head.headers.contains_key(X_KAMAITACHI_PART)
            && !head.headers.contains_key(CONTENT_ENCODING);
        if !is_ours {
            return None;
        }
        let named = Named::find(place, body)?;
        let groups = self.groups(&named)?;
        let part = |group: &Group| {
            let key = RoutingKey::from(&*named.names[group.places[0]]);
            Some(Part { key, body: named.body_about(&group.places)? })
        };
        let parts = groups.iter().map(part).collect::<Option<_>>()?;
        let fields = vec![
            (X_KAMAITACHI_PART, HeaderValue::from(named.names.len())),
            // What is packed cannot be merged.
            (ACCEPT_ENCODING, HeaderValue::from_static("identity")),
        ];
        let (owners, places): (Vec<_>, Vec<_>) =
            groups.into_iter().map(|group| (group.owner, group.places)).unzip();
        let merge = ByOwnerMerge::new(question, &named, &places);
        let merge = merge.counting(owners, Arc::clone(&self.counts));
        Some(Parts { parts, fields, merge })
    }
}

impl<E> Clone for ByOwner<E> {
    fn clone(&self) -> Self {
        Self { pool: self.pool.clone(), counts: Arc::clone(&self.counts) }
    }
}

impl<E> fmt::Debug for ByOwner<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ByOwner").field(&self.pool).finish()
    }
}
