//! Finds the key of requests in a header, in the JSON body, in the path, or takes the client's address.
//!
//!     cargo run -p kamaitachi-layers --example key
use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use kamaitachi_layers::{
    body::Body,
    client::PeerAddr,
    key::{KeyLayer, KeySources, RoutingKey},
};
use tower::{BoxError, Layer as _, ServiceExt as _, service_fn};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), BoxError> {
    let sources = KeySources::parse([
        "header:x-subject",
        "body:subjects",
        "body:selection.subject",
        "path:/items/{id}",
        "client-ip",
    ])?;
    let upstream = service_fn(|request: Request<Body<Full<Bytes>>>| async move {
        let key = request.extensions().get::<RoutingKey>().cloned();
        Ok::<_, BoxError>(key.map_or_else(Bytes::new, |key| key.0))
    });
    let stack = KeyLayer::new(sources).limit(64 * 1024).layer(upstream);

    for (path, header, body) in [
        ("/query", "33:300033", r#"{"subjects":"33:000001"}"#),
        ("/query", "", r#"{"ids":["a"],"subjects":" 33:000001, 17:600606"}"#),
        ("/query", "", r#"{"selection":{"subject":["17:600606"]},"subjects":""}"#),
        ("/items/a%2Fb", "", ""),
        ("/query", "", "{}"),
    ] {
        let mut request = Request::post(path).header("x-subject", header).body(Full::from(body))?;
        request.extensions_mut().insert(PeerAddr::new("192.0.2.1:80".parse()?));
        println!("{path} {header:?} {body}: {:?}", stack.clone().oneshot(request).await?);
    }
    Ok(())
}
