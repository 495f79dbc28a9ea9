//! Which history a node's store tells, and how far, as a header says it.

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::store::{Mark, Store};

/// Lineage, revision and nonce of the sender's store.
const HISTORY: HeaderName = HeaderName::from_static("x-kamaitachi-history");

/// Where `store` is; `None` where it tells no history that another could share.
pub(crate) fn of(store: &Store) -> Option<Mark> {
    let mark = store.mark();
    (!mark.lineage.is_empty()).then(|| Mark::clone(&mark))
}

/// What a peer says of its store.
pub(crate) fn read(headers: &HeaderMap) -> Option<Mark> {
    let mut words = headers.get(HISTORY)?.to_str().ok()?.split(' ');
    let lineage = words.next().filter(|lineage| !lineage.is_empty())?.to_owned();
    let (revision, nonce) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    words.next().is_none().then_some(Mark { lineage, revision, nonce })
}

/// The same as a header.
pub(crate) fn header(mark: &Mark) -> (HeaderName, HeaderValue) {
    let Mark { lineage, revision, nonce } = mark;
    let text = HeaderValue::try_from(format!("{lineage} {revision} {nonce}"));
    // A lineage that is no header is one that nobody shares.
    (HISTORY, text.unwrap_or(HeaderValue::from_static("")))
}

/// Whether both are places in one history, as far as they can tell.
pub(crate) fn shared(one: &Mark, other: &Mark) -> bool {
    let same_place = one.revision != other.revision || one.nonce == other.nonce;
    !one.lineage.is_empty() && one.lineage == other.lineage && same_place
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(lineage: &str, revision: u64, nonce: i64) -> Mark {
        Mark { lineage: lineage.into(), revision, nonce }
    }

    #[test]
    fn a_mark_comes_back_from_its_header() {
        let sent = mark("a1", 7, -3);
        let mut headers = HeaderMap::new();
        headers.extend([header(&sent)]);
        assert_eq!(read(&headers), Some(sent));
        for bad in ["", "a", "a 1", "a 1 x", "a -1 2", " 1 2", "a 1 2 3"] {
            let mut headers = HeaderMap::new();
            headers.insert(HISTORY, HeaderValue::from_static(bad));
            assert_eq!(read(&headers), None, "{bad}");
        }
    }

    #[test]
    fn the_same_number_of_another_commit_is_another_history() {
        assert!(shared(&mark("a", 7, 1), &mark("a", 7, 1)));
        assert!(shared(&mark("a", 7, 1), &mark("a", 8, 2)));
        assert!(!shared(&mark("a", 7, 1), &mark("a", 7, 2)));
        assert!(!shared(&mark("a", 7, 1), &mark("b", 7, 1)));
        assert!(!shared(&mark("", 7, 1), &mark("", 7, 1)));
    }
}
