//! An upstream fails for a while; its breaker opens, tries it again, and closes.
//!
//!     cargo run -p kamaitachi-layers --example circuit_breaker
use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Empty;
use kamaitachi_layers::circuit_breaker::{Circuit, CircuitBreakerLayer};
use kamaitachi_policies::breaker::{BreakerConfig, BreakerSettings};
use tower::{BoxError, Layer as _, ServiceExt as _, service_fn};

static IS_UP: AtomicBool = AtomicBool::new(false);

async fn upstream(_: Request<Empty<Bytes>>) -> Result<Response<()>, BoxError> {
    if IS_UP.load(Ordering::Relaxed) {
        Ok(Response::new(()))
    } else {
        Err("connection refused".into())
    }
}

#[tokio::main(flavor = "current_thread", start_paused = true)]
async fn main() -> Result<(), BoxError> {
    let settings = BreakerSettings {
        min_requests: 3,
        open_for: Duration::from_secs(6),
        close_after: 2,
        ..BreakerSettings::default()
    };
    let circuit = Circuit::new("upstream", BreakerConfig::new(settings)?);
    let stack = CircuitBreakerLayer::new(circuit.clone()).layer(service_fn(upstream));

    for second in 1..=10 {
        // Time flies in this example: the clock is paused, and is set forward by hand.
        tokio::time::advance(Duration::from_secs(1)).await;
        IS_UP.store(second > 5, Ordering::Relaxed);
        let result = stack.clone().oneshot(Request::new(Empty::new())).await;
        let said = result.map_or_else(|error| error.to_string(), |_| "answered".to_owned());
        println!("{second} s, {}: {said}", circuit.snapshot().state.as_str());
    }
    Ok(())
}
