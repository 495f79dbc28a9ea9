//! What is asked, and where its subjects stand.

use std::{borrow::Cow, collections::HashSet, ops::Range};

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

/// A question that can be split, by the form of its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Question {
    /// The newest rows, sorted and paged.
    Newest,
    /// All rows in a range of time, by subject.
    Period,
    /// The same by date, each date sorted and paged.
    ByDate,
    /// Records of data management, by id and paged.
    Records,
}

impl Question {
    /// The question of a path, as nodes know paths.
    pub(super) fn of_path(path: &str) -> Option<(Self, Place)> {
        match path.strip_suffix('/').unwrap_or(path) {
            "/kamaitachi/api/data/v1/snapshot" => Some((Self::Newest, Place::Subjects)),
            "/kamaitachi/api/data/v1/period" => Some((Self::Period, Place::Subjects)),
            "/kamaitachi/api/selection/v1/snapshot" => Some((Self::Newest, Place::Selection)),
            "/kamaitachi/api/selection/v1/period" => Some((Self::ByDate, Place::Selection)),
            "/data/v1/search" => Some((Self::Records, Place::SubjectIds)),
            _ => None,
        }
    }
}

/// Where in a body the subjects stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// `subjects`.
    Subjects,
    /// `selection.subject`.
    Selection,
    /// `subjectIds`.
    SubjectIds,
}

impl Place {
    fn find(self, body: &str) -> Option<&RawValue> {
        #[derive(Deserialize)]
        struct Subjects<'b> {
            #[serde(borrow)]
            subjects: &'b RawValue,
        }
        #[derive(Deserialize)]
        struct Selection<'b> {
            #[serde(borrow)]
            subject: &'b RawValue,
        }
        #[derive(Deserialize)]
        struct Selected<'b> {
            #[serde(borrow)]
            selection: Selection<'b>,
        }
        #[derive(Deserialize)]
        struct SubjectIds<'b> {
            #[serde(borrow, rename = "subjectIds")]
            ids: &'b RawValue,
        }
        match self {
            Self::Subjects => serde_json::from_str::<Subjects<'_>>(body).ok().map(|b| b.subjects),
            Self::Selection => {
                serde_json::from_str::<Selected<'_>>(body).ok().map(|b| b.selection.subject)
            }
            Self::SubjectIds => serde_json::from_str::<SubjectIds<'_>>(body).ok().map(|b| b.ids),
        }
    }
}

/// The subjects that a body names.
#[derive(Debug)]
pub(super) struct Named<'b> {
    body: &'b str,
    /// The value that names them.
    value: Range<usize>,
    /// Each once, in the order of the request.
    pub(super) names: Vec<Cow<'b, str>>,
}

/// A string that borrows where it holds no escape.
#[derive(Deserialize)]
pub(super) struct Text<'a>(#[serde(borrow)] pub(super) Cow<'a, str>);

impl<'b> Named<'b> {
    /// The subjects in `body`; `None` where there are none, or it is not for us to understand.
    pub(super) fn find(place: Place, body: &'b Bytes) -> Option<Self> {
        let body = std::str::from_utf8(body).ok()?;
        let value = place.find(body)?.get();
        let start = value.as_ptr().addr() - body.as_ptr().addr();
        let mut named = Self { body, value: start..start + value.len(), names: Vec::new() };
        let mut seen = HashSet::new();
        let mut add = |name: Cow<'b, str>| {
            if !name.is_empty() && seen.insert(name.clone()) {
                named.names.push(name);
            }
        };
        if value.starts_with('"') {
            match serde_json::from_str::<Text<'b>>(value).ok()?.0 {
                Cow::Borrowed(list) => list.split(',').for_each(|name| add(name.trim().into())),
                Cow::Owned(list) => {
                    list.split(',').for_each(|name| add(name.trim().to_owned().into()));
                }
            }
        } else {
            for Text(name) in serde_json::from_str::<Vec<Text<'b>>>(value).ok()? {
                match name {
                    Cow::Borrowed(name) => add(name.trim().into()),
                    Cow::Owned(name) => add(name.trim().to_owned().into()),
                }
            }
        }
        Some(named)
    }

    /// The body with the names at these places in the place of all.
    pub(super) fn body_about(&self, places: &[usize]) -> Option<Bytes> {
        let names: Vec<&str> = places.iter().map(|place| &*self.names[*place]).collect();
        let Range { start, end } = self.value;
        let mut body = Vec::with_capacity(self.body.len());
        body.extend_from_slice(&self.body.as_bytes()[..start]);
        serde_json::to_writer(&mut body, &names).ok()?;
        body.extend_from_slice(&self.body.as_bytes()[end..]);
        Some(body.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(place: Place, body: &'static str) -> Option<Vec<String>> {
        let body = Bytes::from_static(body.as_bytes());
        Named::find(place, &body).map(|found| found.names.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn names_are_trimmed_and_each_counts_once() {
        for body in [
            r#"{"ids":"x","subjects":" a, b ,,a","limit":1}"#,
            r#"{"subjects":["a"," b","","a "]}"#,
            r#" {"subjects" : "\u0061,b"}"#,
            r#"{"subj\u0065cts":["\u0061","b"]}"#,
        ] {
            assert_eq!(named(Place::Subjects, body).unwrap(), ["a", "b"], "{body}");
        }
        let one = named(Place::Subjects, r#"{"subjects":["a,b"]}"#).unwrap();
        assert_eq!(one, ["a,b"], "an element is one name, as nodes read it");
        let chosen = r#"{"selection":{"id":"x","subject":"a,b"},"subjects":"no"}"#;
        assert_eq!(named(Place::Selection, chosen).unwrap(), ["a", "b"]);
        assert_eq!(named(Place::SubjectIds, r#"{"subjectIds":["b","a"]}"#).unwrap(), ["b", "a"]);
    }

    #[test]
    fn what_is_not_understood_is_left_to_a_node() {
        for body in [
            "",
            "{",
            "[]",
            "{}",
            r#"{"subjects":null}"#,
            r#"{"subjects":7}"#,
            r#"{"subjects":["a",7]}"#,
            r#"{"subjects":"a","subjects":"b"}"#,
            r#"{"subjects":"a,b"} x"#,
        ] {
            assert_eq!(named(Place::Subjects, body), None, "{body}");
        }
        assert_eq!(named(Place::Selection, r#"{"selection":{"id":"x"}}"#), None);
        assert_eq!(named(Place::SubjectIds, r#"{"subjects":"a,b"}"#), None);
    }

    #[test]
    fn a_part_differs_in_its_subjects_alone() {
        let body = Bytes::from_static(
            r#"{"ids" : "x", "subjects":"a,\"q\",c" ,"offset":2,"other":[1]}"#.as_bytes(),
        );
        let found = Named::find(Place::Subjects, &body).unwrap();
        assert_eq!(
            found.body_about(&[0, 1]).unwrap(),
            r#"{"ids" : "x", "subjects":["a","\"q\""] ,"offset":2,"other":[1]}"#
        );
    }

    #[test]
    fn paths_are_those_of_nodes_with_and_without_a_slash_at_the_end() {
        let of = |path| Question::of_path(path).map(|(question, _)| question);
        assert_eq!(of("/data/v1/search/"), Some(Question::Records));
        assert_eq!(of("/kamaitachi/api/selection/v1/period"), Some(Question::ByDate));
        for other in ["/data/v1/search//", "/data/v1/get/x", "/kamaitachi/api/data/v1/stats", "/"] {
            assert_eq!(of(other), None, "{other}");
        }
    }
}
