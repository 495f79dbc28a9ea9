use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Full};
use proptest::prelude::*;
use serde_json::{Value, json};
use tokio_test::{assert_pending, block_on, task};
use tower::{BoxError, Layer as _, ServiceExt as _, service_fn};

use super::*;
use crate::{
    body::Body,
    client::PeerAddr,
    rejection::Rejection,
    testing::{Piece, Pieces},
};

/// The sources of a data API, as an example with every kind of body field.
const SOURCES: [&str; 6] = [
    "body:subjects",
    "body:topic",
    "body:selection.subject",
    "path:/data/v1/get/{id}",
    "body:subjectIds",
    "client-ip",
];

fn layer(sources: &[&str]) -> KeyLayer {
    KeyLayer::new(KeySources::parse(sources.iter().copied()).unwrap())
}

type Got = (Option<String>, bool, Bytes);

/// The key, whether the body was still streaming, and the body as the inner service got it.
async fn passed<B>(layer: &KeyLayer, request: Request<B>) -> Result<Got, BoxError>
where
    B: http_body::Body<Data = Bytes, Error: Into<BoxError>>,
{
    let inner = service_fn(|request: Request<Body<B>>| async move {
        let key = request.extensions().get::<RoutingKey>();
        let key = key.map(|key| String::from_utf8(key.as_bytes().to_vec()).unwrap());
        let streaming = request.body().bytes().is_none();
        let body = request.into_body().collect().await?.to_bytes();
        Ok::<_, BoxError>((key, streaming, body))
    });
    layer.layer(inner).oneshot(request).await
}

fn key_of(sources: &[&str], request: Request<Full<Bytes>>) -> Option<String> {
    block_on(passed(&layer(sources), request)).unwrap().0
}

fn posted(body: &str) -> Request<Full<Bytes>> {
    let mut request = Request::post("/x").body(Full::from(body.to_owned())).unwrap();
    request.extensions_mut().insert(PeerAddr::new("127.0.0.1:4711".parse().unwrap()));
    request
}

fn refusal(error: &BoxError) -> &Rejection {
    Rejection::find(&**error).expect("a rejection")
}

#[test]
fn the_first_source_that_has_something_counts() {
    for (body, key) in [
        (r#"{"subjects":"33:000001,17:600606","topic":"t"}"#, "33:000001"),
        (r#"{"topic":"t","subjects":["33:1","33:2"]}"#, "33:1"),
        (r#"{"topic":"t","subjectIds":["a"],"subjects":" , ,\t33:1 ,x"}"#, "33:1"),
        (r#"{"subjects":["", "  ", 7, null, " 33:1 "]}"#, "33:1"),
        (r#"{"subjects":[],"topic":" t "}"#, "t"),
        (r#"{"subjects":"","topic":"t"}"#, "t"),
        (r#"{"subjects":null,"selection":{"id":"c","subject":"s,u"}}"#, "s"),
        (r#"{"subjects":{"a":1},"subjectIds":["x","y"]}"#, "x"),
        (r#"{"selection":{"subject":{"subject":"no"}},"subjectIds":["x"]}"#, "x"),
        (r#"{"selection":["subject"],"subjectIds":["x"]}"#, "x"),
        (r#"{"a":{"subjects":"deep"},"subjectIds":["x"]}"#, "x"),
        (r#"{"subjects":[["33:1"],{"x":"33:1"},"33:2"]}"#, "33:2"),
        (r#"{"\u0073ubjects":"\u0033\u0033:1,x"}"#, "33:1"),
        (r#"{"subjects":"中:1,x"}"#, "中:1"),
        (r#"{"subjects":"first","subjects":"second"}"#, "first"),
        ("{}", "127.0.0.1"),
        ("[]", "127.0.0.1"),
        (r#""subjects""#, "127.0.0.1"),
        ("7", "127.0.0.1"),
        ("", "127.0.0.1"),
        (r#"{"subjects":33}"#, "127.0.0.1"),
        // Not JSON: what can be read up to the mistake counts, the rest is the next server's business.
        (r#"{"topic":"t",,"#, "t"),
        (r#"{"subjects""#, "127.0.0.1"),
        ("<html>", "127.0.0.1"),
    ] {
        assert_eq!(key_of(&SOURCES, posted(body)).as_deref(), Some(key), "{body}");
    }
}

#[test]
fn the_order_holds_between_body_and_head() {
    let mut request = posted(r#"{"subjectIds":["x"]}"#);
    *request.uri_mut() = "/data/v1/get/33%3A1/".parse().unwrap();
    assert_eq!(key_of(&SOURCES, request).unwrap(), "33:1");
    let mut request = posted(r#"{"topic":"t"}"#);
    *request.uri_mut() = "/data/v1/get/33:1".parse().unwrap();
    assert_eq!(key_of(&SOURCES, request).unwrap(), "t");
}

#[test]
fn every_source_in_the_head_can_be_asked() {
    let request = || {
        let request = Request::get("/a%2C/b%20/33:1?x&y=%20&y=+q%2Cr&z=1%zz")
            .header("x-list", " , h ,i")
            .header("cookie", "a=1; sid=abc ;b")
            .header("cookie", "sid=later");
        request.body(Full::default()).unwrap()
    };
    for (source, key) in [
        ("header:X-List", Some("h")),
        ("header:x-none", None),
        ("query:y", Some("q")),
        ("query:x", None),
        ("query:z", Some("1%zz")),
        ("cookie:sid", Some("abc")),
        ("cookie:b", None),
        ("cookie:id", None),
        ("path:0", Some("a")),
        ("path:1", Some("b")),
        ("path:2", Some("33:1")),
        ("path:3", None),
        ("path:/{a}/b%20/33:1", Some("a")),
        ("path:/a%2C/b%20/{id}/", Some("33:1")),
        ("path:/a%2C/{id}", None),
        ("path:/a/{id}", None),
        ("client-ip", None),
    ] {
        assert_eq!(key_of(&[source], request()).as_deref(), key, "{source}");
    }
    let mut request = request();
    request.extensions_mut().insert(PeerAddr::new("[2001:db8::1]:1".parse().unwrap()));
    assert_eq!(key_of(&["client-ip"], request).unwrap(), "2001:db8::1");
}

#[test]
fn the_body_is_forwarded_as_it_came_and_the_key_is_a_slice_of_it() {
    let content = Bytes::from(r#" {"subjects" : "33:000001"}  "#);
    let inner = service_fn(|request: Request<Body<Full<Bytes>>>| async move {
        let key = request.extensions().get::<RoutingKey>().unwrap().0.clone();
        Ok::<_, BoxError>((key, request.into_body().bytes().cloned().unwrap()))
    });
    let request = Request::new(Full::new(content.clone()));
    let (key, body) = block_on(layer(&SOURCES).layer(inner).oneshot(request)).unwrap();
    assert_eq!((body.as_ptr(), body.len()), (content.as_ptr(), content.len()));
    assert!(body.as_ptr_range().contains(&key.as_ptr()));
}

#[test]
fn nothing_is_buffered_where_no_body_can_decide() {
    let pieces = || Pieces::new([Piece::Data(br#"{"subjects":"s"}"#)]);
    let sources = ["header:x-key", "body:subjects", "client-ip"];
    let early = Request::builder().header("x-key", "k").body(pieces()).unwrap();
    let (key, streaming, body) = block_on(passed(&layer(&sources), early)).unwrap();
    assert_eq!((key.as_deref(), streaming, body.len()), (Some("k"), true, 16));

    let (key, streaming, _) = block_on(passed(&layer(&sources), Request::new(pieces()))).unwrap();
    assert_eq!((key.as_deref(), streaming), (Some("s"), false));

    let (key, streaming, body) =
        block_on(passed(&layer(&["path:0"]), Request::get("/p").body(pieces()).unwrap())).unwrap();
    assert_eq!((key.as_deref(), streaming, body.len()), (Some("p"), true, 16));

    let none = Request::get("/p").body(Full::default()).unwrap();
    let (key, streaming, _) = block_on(passed(&layer(&["body:a", "path:0"]), none)).unwrap();
    assert_eq!((key.as_deref(), streaming), (Some("p"), false), "so that it can be sent again");
}

#[test]
fn a_body_over_the_limit_or_broken_off_never_reaches_the_inner_service() {
    let inner = || {
        service_fn(|_: Request<Body<Pieces>>| async {
            Err::<(), BoxError>("the inner service was called".into())
        })
    };
    let long = Pieces::new([Piece::Data(b"{\"a\":1"), Piece::Data(b",\"b\":2}")]);
    let limited = layer(&SOURCES).limit(12).layer(inner());
    let error = block_on(limited.oneshot(Request::new(long))).unwrap_err();
    assert!(matches!(refusal(&error), Rejection::BodyTooLarge { limit: 12 }));

    let cut = Pieces::new([Piece::Data(b"{\"subjects\":\"s\"}"), Piece::Broken]);
    let error = block_on(layer(&SOURCES).layer(inner()).oneshot(Request::new(cut))).unwrap_err();
    assert!(matches!(refusal(&error), Rejection::BodyUnreadable(_)));
}

#[tokio::test(start_paused = true)]
async fn a_slow_body_is_given_up_at_the_deadline_for_the_whole() {
    let deadline = Duration::from_secs(5);
    let slow = Pieces::new([Piece::Data(b"{"), Piece::Wait, Piece::Data(b" "), Piece::Never]);
    let layer = layer(&SOURCES).deadline(deadline);
    let started = tokio::time::Instant::now();
    let error = passed(&layer, Request::new(slow)).await.unwrap_err();
    assert!(matches!(refusal(&error), Rejection::BodyTimedOut { after } if *after == deadline));
    assert_eq!(started.elapsed(), deadline);
}

#[test]
fn a_body_that_is_there_sets_no_timer() {
    // Outside a runtime a timer would panic.
    let pieces = Pieces::new([Piece::Data(b"{\"topic\":"), Piece::Data(b"\"t\"}")]);
    let layer = layer(&SOURCES);
    let mut call = task::spawn(passed(&layer, Request::new(pieces)));
    assert!(call.poll().is_ready());
}

#[tokio::test(start_paused = true)]
async fn a_slow_body_holds_no_permit_of_the_inner_service() {
    let inner = service_fn(|_: Request<Body<Pieces>>| async { Ok::<_, BoxError>(()) });
    let limited = tower::limit::ConcurrencyLimit::new(inner, 1);
    let stack = layer(&SOURCES).layer(limited);
    let mut slow = task::spawn(stack.clone().oneshot(Request::new(Pieces::new([Piece::Never]))));
    assert_pending!(slow.poll());
    stack.oneshot(Request::new(Pieces::new([]))).await.unwrap();
}

#[test]
fn deep_nesting_costs_no_stack() {
    let deep = format!("{{\"x\":{}1{},\"topic\":\"t\"}}", "[".repeat(200_000), "]".repeat(200_000));
    assert_eq!(key_of(&SOURCES, posted(&deep)).unwrap(), "t");
    let deep = format!("{{\"subjects\":{}", "[".repeat(200_000));
    assert_eq!(key_of(&SOURCES, posted(&deep)).unwrap(), "127.0.0.1");
    let deep = format!("{{\"selection\":{}", "{\"selection\":".repeat(50_000));
    assert_eq!(key_of(&SOURCES, posted(&deep)).unwrap(), "127.0.0.1");
}

#[test]
fn sources_that_cannot_be_are_refused() {
    for bad in [
        "",
        "body",
        "body:",
        "body:a..b",
        "header:",
        "header:a b",
        "query:",
        "path:",
        "path:x",
        "path:/a",
        "path:/a/{b}/{c}",
        "path:/a{b}",
        "path:/{a}b",
        "cookie:",
        "client-ip:x",
        "ip",
    ] {
        assert!(KeySources::parse([bad]).is_err(), "{bad:?} was taken");
    }
    let many = (0..33).map(|index| KeySource::Body(vec![index.to_string()]));
    assert_eq!(KeySources::new(many.clone()).unwrap_err(), InvalidKeySource::TooManyFields(33));
    assert!(KeySources::new(many.take(32)).is_ok());
}

/// The rule as one would write it with the whole document in memory.
fn naive(body: &Value) -> Option<String> {
    let first = |value: &Value| match value {
        Value::String(list) => {
            let mut elements = list.split(',').map(|element| element.trim_matches(' '));
            elements.find(|element| !element.is_empty()).map(str::to_owned)
        }
        Value::Array(elements) => {
            let strings =
                elements.iter().filter_map(Value::as_str).map(|text| text.trim_matches(' '));
            strings.into_iter().find(|text| !text.is_empty()).map(str::to_owned)
        }
        _ => None,
    };
    [&["subjects"][..], &["topic"], &["selection", "subject"], &["subjectIds"]]
        .into_iter()
        .filter_map(|path| path.iter().try_fold(body, |value, name| value.as_object()?.get(*name)))
        .find_map(first)
}

fn any_json() -> impl Strategy<Value = Value> {
    let text = prop::sample::select(vec!["", " ", "a", " a ,b", ",,c", "\"q\\", "é,ü", "subjects"]);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        any::<f32>().prop_map(|number| json!(number)),
        text.prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        let name = prop::sample::select(vec![
            "subjects",
            "topic",
            "selection",
            "subject",
            "subjectIds",
            "ids",
            "s\\u",
            "",
        ]);
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::vec((name.prop_map(str::to_owned), inner), 0..6)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn finds_what_reading_the_whole_document_would_find(body in any_json(), pretty in any::<bool>()) {
        let text = if pretty { format!("{body:#}") } else { body.to_string() };
        let sources = ["body:subjects", "body:topic", "body:selection.subject", "body:subjectIds"];
        prop_assert_eq!(key_of(&sources, posted(&text)), naive(&body), "{}", text);
    }

    #[test]
    fn no_bytes_whatever_make_it_panic(body in prop::collection::vec(any::<u8>(), 0..200)) {
        let request = Request::new(Full::from(body.clone()));
        let (_, _, forwarded) = block_on(passed(&layer(&SOURCES), request)).unwrap();
        prop_assert_eq!(forwarded, body);
    }
}
