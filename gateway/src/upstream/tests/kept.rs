//! Connections that are kept, and those that are not.
use super::*;

#[test]
fn the_connection_is_free_before_a_whole_answer_is_looked_at() {
    run(async {
        let upstream = upstream([vec![Step::Take, ok("a"), Step::Take, ok("b")]]).await;
        let mut endpoint = client().endpoint(&upstream.node);
        let first = endpoint.call(get("/1")).await.unwrap();
        let second = endpoint.call(get("/2")).await.unwrap();
        let totals = upstream.node.totals();
        assert_eq!((totals.opened, totals.reused, totals.in_flight), (1, 1, 0));
        for (response, expected) in [(first, "a"), (second, "b")] {
            assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), expected);
        }
    });
}

#[test]
fn a_streaming_answer_keeps_its_connection_until_it_ends() {
    run(async {
        let slow = "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n";
        let steps =
            vec![Step::Take, say(slow), Step::Wait(TICK), say("abc"), Step::Take, ok("next")];
        let upstream = upstream([steps]).await;
        let mut endpoint = client().endpoint(&upstream.node);
        let response = endpoint.call(get("/")).await.unwrap();
        assert_eq!(upstream.node.totals().in_flight, 1);
        assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "abc");
        assert_eq!(upstream.node.totals().in_flight, 0);
        assert_eq!(content(endpoint, get("/")).await.unwrap(), "next");
    });
}

#[test]
fn endpoints_of_a_node_share_its_connections_and_nodes_do_not() {
    run(async {
        let one = upstream([vec![Step::Take, ok("1"), Step::Take, ok("2")]]).await;
        let other = upstream([vec![Step::Take, ok("3")]]).await;
        let client = client();
        let endpoint = client.endpoint(&one.node);
        assert_eq!(content(endpoint.clone(), get("/")).await.unwrap(), "1");
        assert_eq!(content(client.endpoint(&other.node), get("/")).await.unwrap(), "3");
        let again = client.endpoint(&one.node).for_reads();
        assert_eq!(content(again, get("/")).await.unwrap(), "2");
        assert_eq!(one.node.totals().opened, 1);
    });
}

#[test]
fn more_than_the_answer_costs_the_connection() {
    run(async {
        let script = [Step::Take, say("HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nabc")];
        let upstream = upstream([script.to_vec(), script.to_vec()]).await;
        let endpoint = client().endpoint(&upstream.node);
        for _ in 0..2 {
            assert_eq!(content(endpoint.clone(), get("/")).await.unwrap(), "a");
        }
        assert_eq!(upstream.node.totals().closed_for(Closed::Surplus), 2);
    });
}

#[test]
fn a_connection_that_speaks_unasked_is_not_used_again() {
    run(async {
        let unasked =
            vec![Step::Take, ok("a"), Step::Wait(TICK / 10), ok("poison"), Step::SeeClosed];
        let upstream = upstream([unasked, vec![Step::Take, ok("b")]]).await;
        let endpoint = client().endpoint(&upstream.node);
        assert_eq!(content(endpoint.clone(), get("/")).await.unwrap(), "a");
        sleep(TICK / 5).await;
        assert_eq!(content(endpoint, get("/")).await.unwrap(), "b");
        assert_eq!(upstream.node.totals().closed_for(Closed::ByUpstream), 1);
    });
}

#[test]
fn a_connection_that_was_closed_meanwhile_costs_nobody_anything() {
    run(async {
        let upstream = upstream([vec![Step::Take, ok("a")], vec![Step::Take, ok("b")]]).await;
        let endpoint = client().endpoint(&upstream.node);
        assert_eq!(content(endpoint.clone(), get("/")).await.unwrap(), "a");
        settle().await;
        // Not a read: were it sent on the dead connection, it could not be sent again.
        assert_eq!(content(endpoint, post(small())).await.unwrap(), "b");
        assert_eq!(upstream.node.totals().replaced, 0);
    });
}

#[test]
fn a_kept_connection_that_ends_in_silence_is_replaced_once_for_reads_only() {
    run(async {
        let dies = vec![Step::Take, ok("a"), Step::Take];
        let scripts = [dies.clone(), vec![Step::Take, ok("b")], dies, vec![Step::Take]];
        let upstream = upstream(scripts).await;
        let client = client();
        let endpoint = client.endpoint(&upstream.node);
        let reads = endpoint.clone().for_reads();
        assert_eq!(content(reads.clone(), post(small())).await.unwrap(), "a");
        assert_eq!(content(reads.clone(), post(small())).await.unwrap(), "b");
        assert_eq!(upstream.node.totals().replaced, 1);
        settle().await;

        assert_eq!(content(reads, post(small())).await.unwrap(), "a");
        let error = content(endpoint, post(small())).await.unwrap_err();
        let found = UpstreamError::find(&*error).unwrap();
        assert!(matches!(found, UpstreamError::ClosedBeforeResponse(_)), "{found:?}");
        assert_eq!(upstream.node.totals().replaced, 1);
        assert!(upstream.node.health().is_up());
    });
}

#[test]
fn a_connection_that_dies_again_and_again_is_replaced_just_once() {
    run(async {
        let scripts =
            [vec![Step::Take, ok("a"), Step::Take], vec![Step::Take], vec![Step::Take, ok("b")]];
        let upstream = upstream(scripts).await;
        let endpoint = client().endpoint(&upstream.node).for_reads();
        assert_eq!(content(endpoint.clone(), get("/")).await.unwrap(), "a");
        content(endpoint, get("/")).await.unwrap_err();
        assert_eq!(upstream.node.totals().opened, 2);
    });
}

#[test]
fn what_the_upstream_calls_the_last_answer_is_the_last() {
    run(async {
        for fields in ["Connection: x, CLOSE\r\n", "connection: x\r\nconnection: close\r\n"] {
            let said = say(format!("HTTP/1.1 200 OK\r\n{fields}content-length: 1\r\n\r\na"));
            let script = vec![Step::Take, said, Step::SeeClosed];
            let upstream = upstream([script.clone(), script]).await;
            let endpoint = client().endpoint(&upstream.node);
            for _ in 0..2 {
                assert_eq!(content(endpoint.clone(), get("/")).await.unwrap(), "a");
            }
            assert_eq!(upstream.node.totals().closed_for(Closed::LastAnswer), 2);
        }
    });
}

#[test]
fn dropping_a_request_or_an_answer_half_way_closes_its_connection() {
    run(async {
        let half = "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\na";
        let scripts =
            [vec![Step::Take, Step::SeeClosed], vec![Step::Take, say(half), Step::SeeClosed]];
        let upstream = upstream(scripts).await;
        let mut endpoint = client().endpoint(&upstream.node);
        let unanswered = tokio::time::timeout(TICK, endpoint.call(get("/1"))).await;
        assert!(unanswered.is_err());
        let mut body = endpoint.call(get("/2")).await.unwrap().into_body();
        body.frame().await.unwrap().unwrap();
        drop(body);
        settle().await;
        assert!(upstream.seen.take().iter().all(|seen| seen.ends_with("<closed>")));
        let totals = upstream.node.totals();
        assert_eq!((totals.in_flight, totals.closed_for(Closed::Abandoned)), (0, 2));
    });
}

#[test]
fn unused_connections_are_bounded_in_number_and_time() {
    run(async {
        let script = vec![Step::Take, Step::Wait(TICK), ok("a"), Step::SeeClosed];
        let upstream = upstream(vec![script; 3]).await;
        let client = Client::new(Settings { max_idle: 2, ..Settings::default() });
        let endpoint = client.endpoint(&upstream.node);
        let all = [(); 3].map(|()| content(endpoint.clone(), get("/")));
        futures_util::future::join_all(all).await;
        assert_eq!(upstream.node.totals().closed_for(Closed::IdleLimit), 1);
        sleep(Settings::default().idle_timeout - TICK).await;
        assert_eq!(upstream.node.totals().closed_for(Closed::IdleTimeout), 0);
        sleep(TICK * 3).await;
        assert_eq!(upstream.node.totals().closed_for(Closed::IdleTimeout), 2);
        assert!(upstream.seen.take().iter().all(|seen| seen.ends_with("<closed>")));
    });
}

#[test]
fn connections_in_use_are_bounded() {
    run(async {
        let script = vec![Step::Take, Step::Wait(TICK), ok("a"), Step::Take, ok("b")];
        let upstream = upstream([script]).await;
        let client = Client::new(Settings { max_open: 1, ..Settings::default() });
        let mut endpoint = client.endpoint(&upstream.node);
        let first = tokio::task::spawn_local(content(endpoint.clone(), get("/")));
        settle().await;
        let error = endpoint.call(post(small())).await.unwrap_err();
        assert!(matches!(UpstreamError::find(&*error), Some(UpstreamError::Saturated(1))));
        assert!(error.is::<kamaitachi_layers::retry::HandedBack>());
        assert_eq!(first.await.unwrap().unwrap(), "a");
        assert_eq!(content(endpoint, get("/")).await.unwrap(), "b");
        assert!(upstream.node.health().is_up());
    });
}

#[test]
fn nothing_is_left_when_the_last_handle_goes() {
    run(async {
        let upstream = upstream([vec![Step::Take, ok("a"), Step::SeeClosed]]).await;
        let endpoint = client().endpoint(&upstream.node);
        assert_eq!(content(endpoint, get("/")).await.unwrap(), "a");
        settle().await;
        assert!(upstream.seen.take().concat().ends_with("<closed>"));
    });
}
