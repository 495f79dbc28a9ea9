//! What the head of a merged answer says.

use http::{HeaderMap, HeaderName, HeaderValue, Response, response};

use crate::stack::X_KAMAITACHI_NODE;

const X_KAMAITACHI_CACHE: HeaderName = HeaderName::from_static("x-kamaitachi-cache");
const X_KAMAITACHI_REVISION: HeaderName = HeaderName::from_static("x-kamaitachi-revision");

/// The head of the first answer, and in it what all of them say together: every node that answered, `hit` or `miss`
/// where that is true of all, and the oldest revision.
pub(super) fn merged<B>(answers: &[Response<B>]) -> Option<response::Parts> {
    let mut head = Response::new(()).into_parts().0;
    head.headers = answers.first()?.headers().clone();
    let headers = || answers.iter().map(Response::headers);
    let all = [
        (X_KAMAITACHI_NODE, nodes(headers())),
        (X_KAMAITACHI_CACHE, cache(headers())),
        (X_KAMAITACHI_REVISION, revision(headers())),
    ];
    for (name, value) in all {
        match value {
            Some(value) => drop(head.headers.insert(name, value)),
            None => drop(head.headers.remove(name)),
        }
    }
    Some(head)
}

fn nodes<'a>(headers: impl Iterator<Item = &'a HeaderMap>) -> Option<HeaderValue> {
    let mut names: Vec<&[u8]> = Vec::new();
    for name in headers.filter_map(|headers| headers.get(X_KAMAITACHI_NODE)) {
        if !names.contains(&name.as_bytes()) {
            names.push(name.as_bytes());
        }
    }
    HeaderValue::from_bytes(&names.join(&b", "[..])).ok().filter(|_| !names.is_empty())
}

/// Said only where every part says it.
fn cache<'a>(headers: impl Iterator<Item = &'a HeaderMap>) -> Option<HeaderValue> {
    let each: Option<Vec<&HeaderValue>> =
        headers.map(|headers| headers.get(X_KAMAITACHI_CACHE)).collect();
    let each = each?;
    let first = *each.first()?;
    let is_same = each.iter().all(|value| *value == first);
    Some(if is_same { first.clone() } else { HeaderValue::from_static("partial") })
}

fn revision<'a>(headers: impl Iterator<Item = &'a HeaderMap>) -> Option<HeaderValue> {
    let number = |headers: &HeaderMap| {
        headers.get(X_KAMAITACHI_REVISION)?.to_str().ok()?.parse::<u64>().ok()
    };
    let all: Option<Vec<u64>> = headers.map(number).collect();
    all?.into_iter().min().map(HeaderValue::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(node: &str, cache: &str, revision: &str) -> Response<()> {
        let fields = [
            ("content-type", "application/json"),
            ("x-kamaitachi-node", node),
            ("x-kamaitachi-cache", cache),
            ("x-kamaitachi-revision", revision),
        ];
        let mut response = Response::new(());
        for (name, value) in fields.into_iter().filter(|(_, value)| !value.is_empty()) {
            response.headers_mut().insert(name, value.parse().unwrap());
        }
        response
    }

    fn said(answers: &[Response<()>]) -> [String; 4] {
        let head = merged(answers).unwrap();
        ["content-type", "x-kamaitachi-node", "x-kamaitachi-cache", "x-kamaitachi-revision"].map(
            |name| head.headers.get(name).map_or("", |value| value.to_str().unwrap()).to_owned(),
        )
    }

    #[test]
    fn what_is_true_of_all_is_said_of_the_whole() {
        let all = said(&[answer("a:1", "hit", "10"), answer("b:1", "hit", "9")]);
        assert_eq!(all, ["application/json", "a:1, b:1", "hit", "9"]);
        let missed = said(&[answer("a:1", "miss", "7"), answer("a:1", "miss", "7")]);
        assert_eq!(missed, ["application/json", "a:1", "miss", "7"]);
        for other in ["miss", "partial"] {
            assert_eq!(said(&[answer("a:1", "hit", "1"), answer("b:1", other, "1")])[2], "partial");
        }
        let records = said(&[answer("a:1", "", "1"), answer("b:1", "", "")]);
        assert_eq!(records, ["application/json", "a:1, b:1", "", ""]);
    }
}
