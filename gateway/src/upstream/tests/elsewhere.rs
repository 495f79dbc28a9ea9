//! Requests that come back, so that another node can be asked.
use kamaitachi_layers::retry::HandedBack;

use super::*;

const MARKED: &str = "HTTP/1.1 503 No\r\nx-kamaitachi-unavailable: draining\r\nretry-after: 1\r\ncontent-length: 2\r\n\r\nno";

/// What came back of a POST with a field, after the upstream followed this script.
async fn asked(script: Vec<Step>, reads: bool) -> Result<Response<UpstreamBody>, BoxError> {
    let upstream = upstream([script]).await;
    let endpoint = client().endpoint(&upstream.node);
    let mut endpoint = if reads { endpoint.for_reads() } else { endpoint };
    let mut request = post(small());
    request.headers_mut().insert("x-field", "kept".parse().unwrap());
    endpoint.call(request).await
}

/// The error, after seeing that the request came back whole with it.
fn handed_back(result: Result<Response<UpstreamBody>, BoxError>) -> BoxError {
    let back = result.expect_err("should fail").downcast::<HandedBack>().unwrap();
    let (request, error) = back.into_parts();
    assert_eq!(request.uri().path(), "/p");
    assert_eq!(request.headers()["x-field"], "kept");
    assert_eq!(request.body(), "{}");
    error
}

#[test]
fn a_read_whose_answer_breaks_off_in_its_head_comes_back_and_a_write_does_not() {
    run(async {
        for end in [Step::Wait(Duration::ZERO), Step::Reset] {
            let script = || vec![Step::Take, say("HTTP/1.1 200 OK\r\ncontent-le"), end.clone()];
            let error = handed_back(asked(script(), true).await);
            let found = UpstreamError::find(&*error);
            assert!(
                matches!(found, Some(UpstreamError::Truncated | UpstreamError::Read(_))),
                "{found:?}"
            );
            assert!(!asked(script(), false).await.unwrap_err().is::<HandedBack>());
        }
    });
}

#[test]
fn what_is_wrong_with_an_answer_is_no_reason_to_ask_again() {
    run(async {
        let script = vec![Step::Take, say("HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n")];
        assert!(!asked(script, true).await.unwrap_err().is::<HandedBack>());
    });
}

#[test]
fn a_read_that_a_node_marks_as_not_for_it_comes_back_with_that_answer() {
    run(async {
        let error = handed_back(asked(vec![Step::Take, say(MARKED)], true).await);
        let Some(UpstreamError::Unavailable(answer)) = UpstreamError::find(&*error) else {
            panic!("{error:?}")
        };
        assert_eq!(answer.status(), 503);
        assert_eq!(answer.headers()["retry-after"], "1");
        assert_eq!(answer.body(), "no");
    });
}

#[test]
fn without_the_mark_or_for_a_write_503_is_an_answer_like_any_other() {
    run(async {
        let plain = MARKED.replace("unavailable", "other");
        for (said, reads) in [(MARKED, false), (&*plain, true)] {
            let response = asked(vec![Step::Take, say(said)], reads).await.unwrap();
            assert_eq!(response.status(), 503);
            assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "no");
        }
    });
}

#[test]
fn a_marked_answer_that_has_not_come_whole_is_passed_on() {
    run(async {
        let (head, body) = MARKED.split_at(MARKED.len() - 1);
        let script = vec![Step::Take, say(head), Step::Wait(TICK), say(body)];
        let response = asked(script, true).await.unwrap();
        assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "no");
    });
}

#[test]
fn who_says_that_it_is_going_is_left_alone_and_who_is_behind_is_not() {
    run(async {
        for (word, up) in [("draining", false), ("starting", false), ("behind", true)] {
            let said = MARKED.replace("draining", word);
            let upstream = upstream([vec![Step::Take, say(said)]]).await;
            let mut endpoint = client().endpoint(&upstream.node).for_reads();
            endpoint.call(post(small())).await.unwrap_err();
            assert_eq!(upstream.node.flag().is_up(), up, "{word}");
        }
    });
}
