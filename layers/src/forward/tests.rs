use std::convert::Infallible;

use http::{HeaderMap, HeaderName, Method, Request, Response, StatusCode, Version};
use proptest::prelude::*;
use tokio_test::block_on;
use tower::{BoxError, Layer as _, ServiceExt as _, service_fn};

use super::*;
use crate::{
    client::{ClientIp, PeerAddr},
    rejection::Rejection,
};

const PEER: &str = "10.0.0.7:4711";

/// What the inner service got for these fields, sent by [`PEER`].
fn forwarded(layer: &ForwardLayer, request: Request<()>) -> Result<Request<()>, BoxError> {
    let inner =
        service_fn(|request: Request<()>| async { Ok::<_, Infallible>(Response::new(request)) });
    let mut request = request;
    request.extensions_mut().insert(PeerAddr::new(PEER.parse().unwrap()));
    block_on(layer.layer(inner).oneshot(request)).map(Response::into_body)
}

fn with(fields: &[(&str, &str)]) -> Request<()> {
    let mut request = Request::get("/x?y");
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap()
}

fn refusal(request: Request<()>) -> String {
    forwarded(&ForwardLayer::new(), request).unwrap_err().to_string()
}

fn trusting() -> ForwardLayer {
    ForwardLayer::new().trusting(["10.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()])
}

#[test]
fn hop_by_hop_fields_and_those_that_connection_names_end_here() {
    let sent = with(&[
        ("host", "h"),
        ("connection", "close, X-Mine , te"),
        ("connection", "host,content-length,x-request-id"),
        ("x-request-id", "an-id"),
        ("x-mine", "1"),
        ("x-mine", "2"),
        ("keep-alive", "timeout=5"),
        ("proxy-connection", "keep-alive"),
        ("te", "trailers"),
        ("trailer", "x"),
        ("transfer-encoding", "chunked"),
        ("upgrade", "h2c"),
        ("proxy-authorization", "Basic x"),
        ("expect", "100-continue"),
        ("x_real_ip", "6.6.6.6"),
        ("content-length", "0"),
        ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
        ("authorization", "Bearer x"),
    ]);
    let got = forwarded(&ForwardLayer::new(), sent).unwrap();
    let mut names: Vec<_> = got.headers().keys().map(HeaderName::as_str).collect();
    names.sort_unstable();
    assert_eq!(
        names,
        [
            "authorization",
            "content-length",
            "host",
            "traceparent",
            "via",
            "x-forwarded-for",
            "x-forwarded-host",
            "x-forwarded-proto",
            "x-request-id",
        ]
    );
}

#[test]
fn a_response_loses_its_hop_by_hop_fields_and_gets_a_via() {
    let inner = service_fn(|_: Request<()>| async {
        Response::builder()
            .version(Version::HTTP_10)
            .header("connection", "x-mine")
            .header("x-mine", "1")
            .header("keep-alive", "timeout=5")
            .header("via", "1.1 other")
            .header("content-type", "text/plain")
            .body(())
    });
    let response =
        block_on(ForwardLayer::new().layer(inner).oneshot(with(&[("host", "h")]))).unwrap();
    let fields: Vec<_> =
        response.headers().iter().map(|(n, v)| (n.as_str(), v.to_str().unwrap())).collect();
    assert_eq!(
        fields,
        [("via", "1.1 other"), ("via", "1.0 kamaitachi"), ("content-type", "text/plain")]
    );
}

#[test]
fn host_must_be_there_once_and_be_one() {
    assert_eq!(refusal(with(&[])), "bad request target: no Host field");
    assert_eq!(
        refusal(with(&[("host", "a"), ("host", "a")])),
        "bad request target: more than one Host field"
    );
    for bad in [
        "",
        "a b",
        "a/b",
        "u@h",
        "a:b",
        "a:123456",
        "a:65536",
        "a:99999",
        "[::1",
        "[::g]",
        "[::1]x",
        "[::1]:65536",
        "a,b",
        ":80",
        "::1",
    ] {
        assert_eq!(
            refusal(with(&[("host", bad)])),
            "bad request target: malformed Host field",
            "{bad}"
        );
    }
    for good in ["a", "a:80", "a:65535", "a:", "127.0.0.1:9000", "[::1]", "[::1]:80", "a_b.c-d"] {
        assert!(forwarded(&ForwardLayer::new(), with(&[("host", good)])).is_ok(), "{good}");
    }
}

#[test]
fn http_10_may_do_without_a_host_and_http_2_has_an_authority() {
    let mut old = with(&[]);
    *old.version_mut() = Version::HTTP_10;
    let got = forwarded(&ForwardLayer::new(), old).unwrap();
    assert_eq!(
        (got.version(), &got.headers()["via"]),
        (Version::HTTP_11, &"1.0 kamaitachi".parse().unwrap())
    );

    let mut new =
        Request::get("http://example.com:8080/x?y").version(Version::HTTP_2).body(()).unwrap();
    let got = forwarded(&ForwardLayer::new(), new.clone()).unwrap();
    assert_eq!(got.version(), Version::HTTP_11);
    assert_eq!(got.uri(), "/x?y");
    assert_eq!(got.headers()["host"], "example.com:8080");
    assert_eq!(got.headers()["via"], "2 kamaitachi");
    *new.uri_mut() = "/x".parse().unwrap();
    assert_eq!(refusal(new), "bad request target: no authority");
}

#[test]
fn cookies_that_http_2_sends_apart_are_one_field_behind_it() {
    let request = |version| {
        let request = Request::get("http://a/").version(version).header("host", "a");
        let cookies = ["a=1; x=2", "b=3", "c=4"].into_iter();
        cookies.fold(request, |request, cookie| request.header("cookie", cookie)).body(()).unwrap()
    };
    let cookies = |version| -> Vec<String> {
        let request = forwarded(&ForwardLayer::new(), request(version)).unwrap();
        let all = request.headers().get_all("cookie").iter();
        all.map(|value| value.to_str().unwrap().to_owned()).collect()
    };
    assert_eq!(cookies(Version::HTTP_2), ["a=1; x=2; b=3; c=4"]);
    assert_eq!(cookies(Version::HTTP_11), ["a=1; x=2", "b=3", "c=4"]);
}

#[test]
fn an_absolute_target_wins_over_the_host_field() {
    let sent = Request::get("http://right/x").header("host", "wrong").body(()).unwrap();
    let got = forwarded(&ForwardLayer::new(), sent).unwrap();
    assert_eq!(got.headers()["host"], "right");
    assert_eq!(got.headers()["x-forwarded-host"], "right");
    let userinfo = Request::get("http://u:p@right/x").header("host", "right").body(()).unwrap();
    assert_eq!(refusal(userinfo), "bad request target: malformed authority");
}

#[test]
fn trace_and_connect_are_not_forwarded() {
    for method in [Method::TRACE, Method::CONNECT] {
        let mut request = with(&[("host", "h")]);
        *request.method_mut() = method;
        let refused = forwarded(&ForwardLayer::new(), request).unwrap_err();
        let status = Rejection::find(&*refused).unwrap().status();
        assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED);
    }
}

const TOLD: [(&str, &str); 7] = [
    ("host", "here"),
    ("x-forwarded-for", "1.1.1.1, 2.2.2.2"),
    ("x-forwarded-proto", "https"),
    ("x-forwarded-host", "there"),
    ("x-forwarded-port", "443"),
    ("forwarded", "for=1.1.1.1"),
    ("x-real-ip", "1.1.1.1"),
];

#[test]
fn an_untrusted_peer_is_not_believed() {
    let others = ForwardLayer::new().trusting(["11.0.0.0/8".parse().unwrap()]);
    for layer in [ForwardLayer::new(), others] {
        let got = forwarded(&layer, with(&TOLD)).unwrap();
        assert_eq!(got.headers()["x-forwarded-for"], "10.0.0.7");
        assert_eq!(got.headers()["x-forwarded-proto"], "http");
        assert_eq!(got.headers()["x-forwarded-host"], "here");
        for name in ["x-forwarded-port", "forwarded", "x-real-ip"] {
            assert!(!got.headers().contains_key(name), "{name} passed");
        }
        assert_eq!(got.extensions().get::<ClientIp>(), None);
    }
}

#[test]
fn a_trusted_peer_is_believed_and_appended() {
    let got = forwarded(&trusting().https(), with(&TOLD)).unwrap();
    assert_eq!(got.headers()["x-forwarded-for"], "1.1.1.1, 2.2.2.2, 10.0.0.7");
    assert_eq!(got.headers()["x-forwarded-proto"], "https");
    assert_eq!(got.headers()["x-forwarded-host"], "there");
    assert_eq!(got.headers()["x-forwarded-port"], "443");
    assert_eq!(got.extensions().get(), Some(&ClientIp("2.2.2.2".parse().unwrap())));
}

#[test]
fn the_client_is_the_last_that_no_trusted_proxy_vouches_for() {
    for (chain, client) in [
        ("1.1.1.1", Some("1.1.1.1")),
        ("6.6.6.6, 1.1.1.1, 10.9.9.9", Some("1.1.1.1")),
        ("6.6.6.6, nonsense, 10.9.9.9", Some("10.9.9.9")),
        ("nonsense", None),
        ("10.1.1.1, 10.2.2.2", Some("10.1.1.1")),
        ("[fd00::1]:80, [2001:db8::1]:9", Some("2001:db8::1")),
        ("1.1.1.1:80, fd00::2", Some("1.1.1.1")),
        (" , 1.1.1.1 ,, ", Some("1.1.1.1")),
        ("10.0.0.7", None),
    ] {
        let got =
            forwarded(&trusting(), with(&[("host", "h"), ("x-forwarded-for", chain)])).unwrap();
        let noted = got.extensions().get::<ClientIp>().map(|client| client.0.to_string());
        assert_eq!(noted.as_deref(), client, "{chain}");
    }
}

#[test]
fn the_name_for_via_can_be_chosen_but_must_be_a_token() {
    let layer = ForwardLayer::new().named("edge-1").unwrap();
    assert_eq!(forwarded(&layer, with(&[("host", "h")])).unwrap().headers()["via"], "1.1 edge-1");
    for bad in ["", "a b", "a\r\n"] {
        assert!(ForwardLayer::new().named(bad).is_err());
    }
}

proptest! {
    #[test]
    fn whatever_a_stranger_sends_it_cannot_speak_for_others(
        fields in prop::collection::vec(
            (
                prop::sample::select(vec![
                    "x-forwarded-for", "forwarded", "x-real-ip", "x-forwarded-proto", "connection",
                    "x-forwarded-client-cert", "via", "x-mine",
                ]),
                prop::sample::select(vec!["6.6.6.6", "x-forwarded-for, via", "host", "a, b", ""]),
            ),
            0..12,
        ),
    ) {
        let fields: Vec<_> = fields.into_iter().chain([("host", "h")]).collect();
        let got = forwarded(&ForwardLayer::new(), with(&fields)).unwrap();
        let all = |name: &str| got.headers().get_all(name).iter().collect::<Vec<_>>();
        prop_assert_eq!(all("x-forwarded-for"), ["10.0.0.7"]);
        prop_assert_eq!(all("x-forwarded-proto"), ["http"]);
        prop_assert_eq!(all("x-forwarded-host"), ["h"]);
        prop_assert_eq!(*all("via").last().unwrap(), "1.1 kamaitachi");
        let none: &HeaderMap = got.headers();
        for name in ["forwarded", "x-real-ip", "x-forwarded-client-cert", "connection"] {
            prop_assert!(!none.contains_key(name));
        }
    }
}
