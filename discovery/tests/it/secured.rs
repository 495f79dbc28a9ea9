//! etcd behind TLS, client certificates and passwords, and what is said where one of them is wrong.

use std::path::PathBuf;

use kamaitachi_discovery::{
    Found,
    etcd::{Settings, Tls},
    follow,
    register::Registration,
    testing::{Authority, Etcd, Secured},
};

use crate::support::{A, B, SERVICE, service, until_health, until_members, until_standing};

const NAME: &str = "etcd.example";

/// An etcd whose certificate names [`NAME`] alone, and who has signed it.
async fn etcd(asks_for_certificates: bool) -> (Etcd, Authority) {
    let authority = Authority::new();
    let secured = Secured {
        server: authority.server(&[NAME]),
        ca: authority.ca(),
        client: asks_for_certificates.then(|| authority.client()),
        domain: NAME.to_owned(),
    };
    (Etcd::start_secured(secured).await, authority)
}

fn follow(settings: &Settings) -> Found {
    follow::start(settings.clone(), follow::Settings::new(SERVICE), Vec::new())
}

/// That both sides find each other with these settings.
async fn works(settings: &Settings) {
    let found = follow(settings);
    let registration = Registration::start(settings.clone(), service(A));
    until_members(&found, &[A]).await;
    assert!(registration.deregister().await);
    until_members(&found, &[]).await;
}

/// That both sides say this with `wrong` settings, and go on trying.
async fn fails(wrong: &Settings, said: &str) {
    let found = follow(wrong);
    let registration = Registration::start(wrong.clone(), service(B));
    let told = |trouble: &Option<String>| {
        if let Some(trouble) = trouble {
            println!("{trouble}");
        }
        trouble.as_ref().is_some_and(|trouble| trouble.contains(said))
    };
    until_standing(&registration, said, |standing| told(&standing.trouble)).await;
    until_health(&found, said, |health| told(&health.trouble)).await;
}

fn with(settings: &Settings, change: impl FnOnce(&mut Tls)) -> Settings {
    let mut settings = settings.clone();
    change(settings.tls.as_mut().unwrap());
    settings
}

#[tokio::test]
async fn an_encrypted_etcd_is_used_and_wrong_settings_are_named() {
    let (etcd, _authority) = etcd(false).await;
    let right = etcd.settings();
    works(&right).await;
    let other = Authority::new();
    let ca = |ca: PathBuf| with(&right, |tls| tls.ca = Some(ca));
    fails(&ca(other.ca()), "`etcd.ca`").await;
    fails(&ca("/not/there.pem".into()), "/not/there.pem").await;
    fails(&with(&right, |tls| tls.domain = None), "`etcd.domain`").await;
    fails(&with(&right, |tls| tls.domain = Some("other.example".into())), "`etcd.domain`").await;
    fails(&Settings { tls: None, ..right.clone() }, "`etcd.ca`").await;
}

#[tokio::test]
async fn an_etcd_that_asks_for_certificates_gets_one() {
    let (etcd, authority) = etcd(true).await;
    let right = etcd.settings();
    works(&right).await;
    fails(&with(&right, |tls| tls.identity = None), "`etcd.cert`").await;
    let stranger = Authority::new().client();
    let strange = with(&right, |tls| tls.identity = Some((stranger.cert, stranger.key)));
    fails(&strange, "`etcd.cert`").await;
    let other = Authority::new();
    let (one, key) = (authority.client(), other.client().key);
    fails(&with(&right, |tls| tls.identity = Some((one.cert, key))), "`etcd.key`").await;
}

#[tokio::test]
async fn an_etcd_that_is_not_encrypted_is_told_from_one_that_is() {
    let (etcd, authority) = (Etcd::start().await, Authority::new());
    let tls = Some(Tls { ca: Some(authority.ca()), ..Tls::default() });
    fails(&Settings { tls, ..etcd.settings() }, "`etcd.ca`: is set, but").await;
}

#[tokio::test]
async fn passwords_go_over_tls_and_a_wrong_one_is_named_until_it_is_right() {
    let (etcd, _authority) = etcd(false).await;
    let user = |name: &str, password: &str| {
        let user = Some((name.to_owned(), password.into()));
        Settings { user, ..etcd.settings() }
    };
    // Nodes have their passwords before etcd asks for them.
    works(&user("root", "hush")).await;
    etcd.protect("hush").await;
    works(&user("root", "hush")).await;
    fails(&etcd.settings(), "`etcd.username`").await;
    fails(&user("root", "loud"), "`etcd.password`").await;
    fails(&user("nobody", "hush"), "`etcd.password`").await;
    let mut root = etcd.client_of(&user("root", "hush")).await;
    root.user_add("guest", "hush", None).await.unwrap();
    fails(&user("guest", "hush"), "`etcd.username`: \"guest\" must be allowed").await;

    // Whoever tries again is let in once etcd knows the password.
    let late = user("late", "hush");
    let found = follow(&late);
    let registration = Registration::start(late.clone(), service(A));
    until_standing(&registration, "it is refused", |s| s.trouble.is_some()).await;
    root.user_add("late", "hush", None).await.unwrap();
    root.user_grant_role("late", "root").await.unwrap();
    until_members(&found, &[A]).await;
}
