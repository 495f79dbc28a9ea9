//! The smallest server: `cargo run -p kamaitachi-serve --example hello -- 127.0.0.1:8080 1`
//! (address, number of workers). Ends with SIGTERM or SIGINT.

use std::{convert::Infallible, time::Duration};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use kamaitachi_serve::{
    server::{Incoming, Server},
    shutdown::Drain,
};
use tower::service_fn;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:0".to_owned());
    let workers = arguments.next().map_or(Ok(1), |workers| workers.parse())?;

    let drain = Drain::on_signals()?;
    let server = Server::new(address.parse()?).workers(workers).start(|_worker| {
        |_connection| {
            service_fn(|_request: Request<Incoming>| async {
                let body = Full::new(Bytes::from_static(b"hello\n"));
                Ok::<_, Infallible>(Response::new(body))
            })
        }
    })?;
    println!("listening on {}", server.local_addr());
    drain.requested().await;
    drain.finish(server, Duration::from_secs(30)).await;
    Ok(())
}
