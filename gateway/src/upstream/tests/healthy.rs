//! Health, from requests and from probes.
use std::future::pending;

use super::*;

#[test]
fn a_node_that_fails_requests_is_left_alone_for_a_while() {
    run(async {
        // Closes in silence three times, then answers.
        let mut scripts = vec![vec![Step::Take]; 3];
        scripts.push(vec![Step::Take, ok("a")]);
        let upstream = upstream(scripts).await;
        let client = client();
        let endpoint = client.endpoint(&upstream.node);
        for up in [true, true, false] {
            content(endpoint.clone(), post(small())).await.unwrap_err();
            assert_eq!(upstream.node.flag().is_up(), up);
        }
        sleep(HealthConfig::default().back_off - TICK).await;
        assert!(!upstream.node.flag().is_up());
        sleep(TICK * 2).await;
        assert!(upstream.node.flag().is_up());
        assert_eq!(content(endpoint, post(small())).await.unwrap(), "a");
    });
}

fn prober() -> Prober<Client> {
    let probe = Probe {
        path: "/readyz".parse().unwrap(),
        interval: Duration::from_secs(2),
        timeout: Duration::from_secs(1),
    };
    Prober::new(probe, Client::new(Settings { max_idle: 0, ..Settings::default() }))
}

#[test]
fn probes_take_a_node_out_and_bring_it_back() {
    run(async {
        let with = |status: &str| {
            vec![Step::Take, say(format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n"))]
        };
        let (ready, not_ready) = (with("200 OK"), with("503 Draining"));
        let silent = vec![Step::Take, Step::SeeClosed];
        let broken = with("500 Broken");
        let plan = [
            (ready.clone(), true),
            (not_ready, false),
            (ready.clone(), false),
            (ready.clone(), true),
            (silent.clone(), true),
            (broken, true),
            (silent, false),
            (ready.clone(), false),
            (ready, true),
        ];
        let upstream = upstream(plan.iter().map(|(script, _)| script.clone())).await;
        let node = Arc::clone(&upstream.node);
        let running =
            tokio::task::spawn_local(prober().run(move || vec![Arc::clone(&node)], pending));
        sleep(Duration::from_millis(1500)).await;
        for (i, (_, up)) in plan.iter().enumerate() {
            assert_eq!(upstream.node.flag().is_up(), *up, "after probe {i}");
            sleep(Duration::from_secs(2)).await;
        }
        running.abort();
        let seen = upstream.seen.take();
        assert!(seen[0].starts_with("GET /readyz HTTP/1.1\r\nhost: 127.0.0.1:"), "{}", seen[0]);
    });
}

#[test]
fn a_probe_that_passes_forgives_no_failed_request() {
    run(async {
        let closes = vec![Step::Take];
        let probed = vec![Step::Take, ok("")];
        let upstream = upstream([closes.clone(), closes.clone(), probed, closes]).await;
        let endpoint = client().endpoint(&upstream.node);
        let fails = || async { content(endpoint.clone(), post(small())).await.unwrap_err() };
        fails().await;
        fails().await;
        let node = Arc::clone(&upstream.node);
        let running =
            tokio::task::spawn_local(prober().run(move || vec![Arc::clone(&node)], pending));
        sleep(Duration::from_millis(100)).await;
        running.abort();
        assert!(upstream.node.flag().is_up());
        fails().await;
        assert!(!upstream.node.flag().is_up(), "three requests in a row have failed");
        assert_eq!(upstream.seen.borrow().len(), 4);
    });
}

#[test]
fn what_the_gateway_asks_by_itself_speaks_neither_for_nor_against_a_node() {
    run(async {
        let unavailable =
            "HTTP/1.1 503 No\r\nx-kamaitachi-unavailable: draining\r\ncontent-length: 0\r\n\r\n";
        // Closes in silence again and again, then refuses.
        let mut scripts = vec![vec![Step::Take]; 4];
        scripts.push(vec![Step::Take, say(unavailable)]);
        let upstream = upstream(scripts).await;
        let endpoint = client().endpoint(&upstream.node).for_reads().apart();
        for _ in 0..5 {
            content(endpoint.clone(), get("/")).await.unwrap_err();
        }
        let nobody = Node::new("127.0.0.1:1", HealthConfig::default());
        for _ in 0..5 {
            content(client().endpoint(&nobody).apart(), get("/")).await.unwrap_err();
        }
        for node in [&upstream.node, &nobody] {
            assert!(node.flag().is_up());
            assert_eq!(node.health().ejections(), [0; 3]);
        }
    });
}

#[test]
fn one_hung_node_does_not_keep_the_others_from_being_probed() {
    run(async {
        let hung = upstream([vec![Step::Take, Step::SeeClosed]]).await;
        let dead =
            upstream([vec![Step::Take, say("HTTP/1.1 503 No\r\ncontent-length: 0\r\n\r\n")]]).await;
        let nodes = [Arc::clone(&hung.node), Arc::clone(&dead.node)];
        let running = tokio::task::spawn_local(prober().run(move || nodes.to_vec(), pending));
        sleep(Duration::from_millis(500)).await;
        assert!(hung.node.flag().is_up() && !dead.node.flag().is_up());
        running.abort();
    });
}

#[test]
fn nodes_are_probed_at_once_when_it_begins_and_when_they_come() {
    run(async {
        let probed = vec![Step::Take, ok("")];
        let (first, second) = (upstream([probed.clone()]).await, upstream([probed]).await);
        let (come, mut news) = tokio::sync::watch::channel(vec![Arc::clone(&first.node)]);
        let nodes = news.clone();
        let news = async move || news.changed().await.unwrap();
        let all = move || nodes.borrow().clone();
        let running = tokio::task::spawn_local(prober().run(all, news));
        sleep(Duration::from_millis(100)).await;
        assert!(first.node.health().is_met());
        come.send_modify(|nodes| nodes.push(Arc::clone(&second.node)));
        sleep(Duration::from_millis(100)).await;
        assert!(second.node.health().is_met());
        running.abort();
        assert_eq!(first.seen.borrow().len(), 1, "who is known waits for the next round");
    });
}
