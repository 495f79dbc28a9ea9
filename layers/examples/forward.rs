//! What a proxy passes on, from a stranger and from another proxy that is trusted.
//!
//!     cargo run -p kamaitachi-layers --example forward
use http::{Request, Response};
use kamaitachi_layers::{client::PeerAddr, forward::ForwardLayer, head::Head};
use tower::{BoxError, Layer as _, ServiceExt as _, service_fn};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), BoxError> {
    let upstream = service_fn(|request: Request<()>| async move {
        println!("  client: {:?}", Head::from(&request).client_ip());
        for (name, value) in request.headers() {
            println!("  {name}: {value:?}");
        }
        Ok::<_, BoxError>(Response::new(()))
    });
    let stack = ForwardLayer::new().trusting(["10.0.0.0/8".parse()?]).layer(upstream);

    for peer in ["203.0.113.9:4711", "10.0.0.7:4711"] {
        println!("from {peer}:");
        let mut request = Request::get("/x")
            .header("host", "example.com")
            .header("connection", "keep-alive, x-mine")
            .header("x-mine", "for this hop only")
            .header("x-forwarded-for", "198.51.100.1, 10.1.2.3")
            .header("x-forwarded-proto", "https")
            .body(())?;
        request.extensions_mut().insert(PeerAddr::new(peer.parse()?));
        stack.clone().oneshot(request).await?;
    }
    if let Err(refused) = stack.oneshot(Request::get("/x").body(())?).await {
        println!("without a host: {refused}");
    }
    Ok(())
}
