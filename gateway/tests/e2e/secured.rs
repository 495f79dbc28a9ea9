//! Processes that find each other through an etcd behind TLS, client certificates and a password.

use std::path::{Path, PathBuf};

use kamaitachi_discovery::testing::{Authority, Etcd, Secured};

use crate::{
    cluster::{Process, get, node_program, read, until_nodes},
    harness::until,
};

/// `[etcd]` as an operator writes it.
fn etcd_section(etcd: &Etcd, ca: &Path, authority: &Authority, password: &Path) -> String {
    let pair = authority.client();
    format!(
        "[etcd]\nendpoints = 'https://{}'\nttl = 2\nusername = 'root'\npassword = 'file:{}'\n\
         ca = '{}'\ncert = '{}'\nkey = '{}'\ndomain = 'etcd.example'\n",
        etcd.endpoint(),
        password.display(),
        ca.display(),
        pair.cert.display(),
        pair.key.display(),
    )
}

fn started(program: &Path, dir: &Path, name: &str, key: &str, text: &str) -> Process {
    let file = dir.join(format!("{name}.toml"));
    std::fs::write(&file, text).unwrap();
    Process::start(program, &file, key)
}

#[tokio::test]
async fn processes_find_each_other_through_an_etcd_behind_tls_and_say_what_is_wrong_with_it() {
    let (authority, dir) = (Authority::new(), tempfile::tempdir().unwrap());
    let secured = Secured {
        server: authority.server(&["etcd.example"]),
        ca: authority.ca(),
        client: Some(authority.client()),
        domain: "etcd.example".to_owned(),
    };
    let etcd = Etcd::start_secured(secured).await;
    etcd.protect("hush").await;
    let (password, ca) = (dir.path().join("password"), dir.path().join("ca.pem"));
    std::fs::write(&password, "hush\n").unwrap();
    // Whoever made the node's file took the wrong certificate.
    std::fs::copy(Authority::new().ca(), &ca).unwrap();
    let node = format!(
        "[server]\nmode = 'slave'\nport = 0\nworkers = 1\n[database]\npath = '{}'\n{}\
         [log]\nformat = 'json'\n",
        dir.path().join("1.db").display(),
        etcd_section(&etcd, &ca, &authority, &password),
    );
    let node = started(&node_program(), dir.path(), "slave", "address", &node);
    let gateway = format!(
        "[server]\nport = 0\nworkers = 1\n[admin]\nport = 0\n{}[discovery]\ncache = ''\n\
         [log]\nformat = 'json'\n",
        etcd_section(&etcd, &authority.ca(), &authority, &password),
    );
    let program = PathBuf::from(env!("CARGO_BIN_EXE_kamaitachi-gateway"));
    let gateway = started(&program, dir.path(), "gateway", "public", &gateway);
    until_nodes(&gateway, &[]).await;
    until("the node names the key", async || {
        let ready = get(node.addr, "/readyz").await;
        ready.status == 503 && ready.text().contains("`etcd.ca`: etcd's certificate is not signed")
    })
    .await;

    // Files are read anew at each try: the right one in its place is enough.
    std::fs::copy(authority.ca(), &ca).unwrap();
    until_nodes(&gateway, &[&node]).await;
    assert_eq!(get(gateway.addr, "/health").await.json()["discovery"]["source"], "etcd");
    read(&gateway, 1).await;
}
