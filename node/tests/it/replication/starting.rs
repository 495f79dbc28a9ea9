//! Where a slave starts: from nothing, from its file, from a copy.

use std::time::Duration;

use kamaitachi_node::{Node, config::Role, store::LogLimits};
use serde_json::json;

use super::{
    addr, assert_equal, content, directory, end_equal, in_step, path, replication, slave,
    slave_config, store, until,
};
use crate::support::{Client, INGEST, Q1, Q2, Running, SNAPSHOT, row, year_2020};

/// An address that nobody listens on.
fn nobody() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().to_string()
}

#[tokio::test]
async fn an_empty_slave_is_not_ready_until_it_has_a_copy() {
    let dir = directory();
    let port = nobody();
    let mut config = slave_config(&port, &path(&dir));
    let at = nobody();
    config.server.port = at.rsplit_once(':').unwrap().1.parse().unwrap();
    let starting = tokio::spawn(Node::start(config));
    let client = Client::to(&at);
    until("it listens", async || {
        let request = client.request(http::Method::GET, "/readyz").body(Default::default());
        client.try_send(request.unwrap()).await.is_ok()
    })
    .await;
    let ready = client.get("/readyz").await;
    assert_eq!(ready.status, 503);
    let ask = json!({"subjects": "33:000001"});
    assert_eq!(client.post(SNAPSHOT, &ask).await.status, 503);
    assert_eq!(client.get("/healthz").await.status, 200);
    // Whom to write to it knows already.
    client.post_text(INGEST, "application/x-ndjson", "{}").await.refused(421, &[&port]);
    // The master comes up at last.
    let master = Running::with(|config| {
        config.server.port = port.rsplit_once(':').unwrap().1.parse().unwrap();
    })
    .await;
    master.client.ingest(&year_2020()).await;
    let node = starting.await.unwrap().unwrap();
    assert_eq!(client.get("/readyz").await.status, 200);
    let slave = Running { node, client, dir };
    in_step(&master, &slave).await;
    assert_eq!(slave.client.post(SNAPSHOT, &ask).await.data().as_array().unwrap().len(), 1);
    end_equal(master, slave).await;
}

#[tokio::test]
async fn a_slave_with_data_serves_it_while_the_master_is_away_and_resumes_after() {
    let master = Running::master().await;
    master.client.ingest(&year_2020()).await;
    let at = addr(&master).await;
    let slave_dir = slave(&at, directory()).await.stop().await;
    let master_dir = master.stop().await;
    let slave = slave(&at, slave_dir).await;
    let ask = json!({"subjects": "33:000001"});
    assert_eq!(slave.client.post(SNAPSHOT, &ask).await.data().as_array().unwrap().len(), 1);
    assert_eq!(slave.client.get("/readyz").await.status, 200);
    until("it says what is wrong", async || {
        let told = replication(&slave.client).await;
        told["connected"] == false && told["problem"].as_str().is_some()
    })
    .await;
    let port = at.rsplit_once(':').unwrap().1.parse().unwrap();
    let master = Running::within(master_dir, |config| config.server.port = port).await;
    master.client.ingest(&[row("33:000001", Q2, json!({"operating_income": -5}))]).await;
    in_step(&master, &slave).await;
    assert_eq!(replication(&slave.client).await["bootstraps"], 0, "the log was enough");
    end_equal(master, slave).await;
}

#[tokio::test]
async fn a_slave_that_was_away_for_longer_than_the_log_reaches_fetches_a_copy() {
    let short = |config: &mut kamaitachi_node::config::Config| {
        config.log_limits = LogLimits { commits: 3, ..LogLimits::default() };
    };
    let master = Running::with(short).await;
    master.client.ingest(&year_2020()).await;
    let at = addr(&master).await;
    let dir = slave(&at, directory()).await.stop().await;
    for n in 0..10 {
        master.client.ingest(&[row("33:000001", Q1, json!({"operating_income": n}))]).await;
    }
    let slave = slave(&at, dir).await;
    in_step(&master, &slave).await;
    assert_eq!(replication(&slave.client).await["bootstraps"], 1);
    assert!(!slave.db().with_extension("db.aside").exists(), "nothing was lost");
    // Its cache is that of the new file.
    let ask = json!({"subjects": "33:000001", "ids": "operating_income", "timestamp": Q1});
    let data = slave.client.post(SNAPSHOT, &ask).await.data();
    assert_eq!(data[0]["data"]["operating_income"], json!(9.0));
    end_equal(master, slave).await;
}

#[tokio::test]
async fn data_of_another_history_is_set_aside_for_the_masters() {
    // A file that was a master's own, with more revisions than the other will have.
    let other = Running::master().await;
    for n in 0..5 {
        other.client.ingest(&[row("99:000009", Q1 + n, json!({"net_margin": n}))]).await;
    }
    let dir = other.stop().await;
    let former = content(&path(&dir));
    let master = Running::master().await;
    master.client.ingest(&year_2020()).await;
    let slave = slave(&addr(&master).await, dir).await;
    in_step(&master, &slave).await;
    let ask = json!({"subjects": "99:000009,33:000001"});
    let data = slave.client.post(SNAPSHOT, &ask).await.data();
    assert_eq!(data.as_array().unwrap().len(), 1, "{data}");
    assert_eq!(content(&slave.db().with_extension("db.aside")), former);
    end_equal(master, slave).await;
}

#[tokio::test]
async fn a_master_put_back_to_an_old_backup_takes_its_slaves_along() {
    let master = Running::master().await;
    master.client.ingest(&year_2020()).await;
    let backup = directory();
    store(&master).copy_to(&path(&backup)).await.unwrap();
    master.client.ingest(&[row("33:000001", Q2, json!({"operating_income": 1}))]).await;
    let at = addr(&master).await;
    let slave = slave(&at, directory()).await;
    let before = replication(&slave.client).await["bootstraps"].as_u64().unwrap();
    master.stop().await;
    let port = at.rsplit_once(':').unwrap().1.parse().unwrap();
    let master = Running::within(backup, |config| config.server.port = port).await;
    // The same revision, another write.
    master.client.ingest(&[row("33:000001", Q2, json!({"operating_income": 2}))]).await;
    in_step(&master, &slave).await;
    assert_eq!(replication(&slave.client).await["bootstraps"], before + 1);
    end_equal(master, slave).await;
}

#[tokio::test]
async fn a_slave_without_a_master_keeps_to_its_file() {
    let dir = directory();
    let mut config =
        kamaitachi_node::config::Config::embedded(Role::Slave { master: None }, path(&dir));
    config.server.workers = Some(1);
    let node = Node::start(config).await.unwrap();
    let client = Client::to(node.local_addr().to_string());
    assert_eq!(client.get("/readyz").await.status, 200);
    assert_eq!(replication(&client).await, json!(null));
    node.drain(std::future::ready(())).await;
}

#[tokio::test]
async fn nobody_is_fed_through_a_proxy_or_without_the_token() {
    let token = || Some(secrecy::SecretString::from("open sesame"));
    let master = Running::with(|config| config.replication.token = token()).await;
    let ask = async |headers: &[(&'static str, &str)]| {
        let path = "/internal/replication/v1/changes?lineage=&revision=0&nonce=0";
        let mut request = master.client.request(http::Method::GET, path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        master.client.send(request.body(Default::default()).unwrap()).await.status.as_u16()
    };
    let good = ("authorization", "Bearer open sesame");
    assert_eq!(ask(&[good]).await, 200);
    assert_eq!(ask(&[]).await, 404);
    assert_eq!(ask(&[("authorization", "Bearer open")]).await, 404);
    for proxy in ["via", "x-forwarded-for", "forwarded"] {
        assert_eq!(ask(&[good, (proxy, "1.1 kamaitachi")]).await, 404, "{proxy}");
    }
    assert_eq!(master.client.get("/internal/anything").await.status, 404);
    // With it a slave follows.
    let dir = directory();
    let mut config = slave_config(&addr(&master).await, &path(&dir));
    config.replication.token = token();
    let node = tokio::time::timeout(Duration::from_secs(60), Node::start(config)).await;
    let node = node.unwrap().unwrap();
    let client = Client::to(node.local_addr().to_string());
    end_equal(master, Running { node, client, dir }).await;
}

#[tokio::test]
async fn two_slaves_start_from_copies_while_writes_go_on() {
    let master = Running::master().await;
    master.client.ingest(&year_2020()).await;
    let at = addr(&master).await;
    let writes = async {
        for n in 0..200 {
            master.client.ingest(&[row("33:000001", n, json!({"operating_income": n}))]).await;
        }
    };
    let ((), one, two) = tokio::join!(writes, slave(&at, directory()), slave(&at, directory()));
    in_step(&master, &one).await;
    in_step(&master, &two).await;
    let (one, two) = (one.stop().await, two.stop().await);
    let master = master.stop().await;
    assert_equal(&path(&master), &path(&one));
    assert_equal(&path(&master), &path(&two));
}
