//! Rate limits.

use http::{Method, StatusCode};

use crate::harness::{Node, Rig, connect, request, whole};

const PERIOD: &str = "/data/kamaitachi/api/data/v1/period";
const LIMITED: &str =
    r#"{"code":429,"message":"Too Many Requests - Rate limit exceeded","data":null}"#;
const KEY: &str = "0123456789abcdef";

#[tokio::test]
async fn over_the_limit_a_client_is_told_when_to_come_back() {
    let node = Node::start().await;
    let rig = Rig::start(&[&node], "[routes.period]\nrate = 1\nburst = 2\n");
    for path in [PERIOD.to_owned(), format!("{PERIOD}/")] {
        assert_eq!(rig.post(&path, "{}").await.status, StatusCode::OK);
    }
    let refused = rig.post(PERIOD, "{}").await;
    assert_eq!((refused.status.as_u16(), refused.text()), (429, LIMITED));
    assert_eq!(refused.header("retry-after"), "1");
    assert_eq!(refused.header("content-type"), "application/json");
    assert_eq!(node.served(), 2, "a refused request reached the node");
    let other = "/data/kamaitachi/api/data/v1/snapshot";
    assert_eq!(rig.post(other, "{}").await.status, StatusCode::OK);
}

#[tokio::test]
async fn the_default_limits_are_those_of_the_contract() {
    let node = Node::start().await;
    let rig = Rig::start(&[&node], "");
    let mut sender = connect(rig.addr()).await;
    let began = tokio::time::Instant::now();
    let mut answers = Vec::new();
    for _ in 0..700 {
        sender.ready().await.unwrap();
        let answer = sender.send_request(request(Method::POST, PERIOD, "{}")).await.unwrap();
        answers.push(whole(answer).await.status.as_u16());
    }
    let admitted = answers.iter().filter(|status| **status == 200).count();
    // Burst 500, then 300 a second for as long as this took.
    let most = 501 + usize::try_from(began.elapsed().as_millis()).unwrap() * 300 / 1000;
    assert!(answers[..500].iter().all(|status| *status == 200));
    assert!((500..=most.min(700)).contains(&admitted), "{admitted} of at most {most}");
}

#[tokio::test]
async fn a_setting_lifts_all_limits_and_a_key_those_of_who_has_it() {
    let node = Node::start().await;
    let strict = "[routes.period]\nrate = 1\nburst = 1\n";
    let lifted = Rig::start(&[&node], &format!("{strict}[rate_limit]\nenabled = false\n"));
    let keyed = Rig::start(&[&node], &format!("{strict}[rate_limit]\nexempt_key = '{KEY}'\n"));
    let with_key = |key: &str| {
        let mut request = request(Method::POST, PERIOD, "{}");
        request.headers_mut().insert("x-kamaitachi-limit-key", key.parse().unwrap());
        request
    };
    for _ in 0..5 {
        assert_eq!(lifted.post(PERIOD, "{}").await.status, StatusCode::OK);
        assert_eq!(keyed.send(with_key(KEY)).await.status, StatusCode::OK);
        assert!(node.last().headers.get("x-kamaitachi-limit-key").is_none(), "the key leaked");
    }
    assert_eq!(
        keyed.post(PERIOD, "{}").await.status,
        StatusCode::OK,
        "exempt requests are not counted"
    );
    let wrong = format!("{KEY}0");
    assert_eq!(keyed.send(with_key(&wrong)).await.status, StatusCode::TOO_MANY_REQUESTS);
}

#[tokio::test]
async fn each_client_has_an_allowance_of_its_own_over_all_routes() {
    let node = Node::start().await;
    let rig = Rig::start(
        &[&node],
        "[rate_limit]\nclient_rate = 1\nclient_burst = 2\nclient = 'header:x-api-key'\n",
    );
    let from = |key: &str, path: &str| {
        let mut request = request(Method::POST, path, "{}");
        request.headers_mut().insert("x-api-key", key.parse().unwrap());
        request
    };
    assert_eq!(rig.send(from("a", PERIOD)).await.status, StatusCode::OK);
    assert_eq!(rig.send(from("a", "/data/v1/search")).await.status, StatusCode::OK);
    let refused = rig.send(from("a", PERIOD)).await;
    assert_eq!((refused.status.as_u16(), refused.text()), (429, LIMITED));
    assert_eq!(rig.send(from("b", PERIOD)).await.status, StatusCode::OK);
}
