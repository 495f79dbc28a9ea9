//! Whose fault a failed try was: what the breaker of a node gets to hear.

use std::error::Error;

use http::StatusCode;
use kamaitachi_layers::circuit_breaker::classify;
use kamaitachi_policies::breaker::Outcome;

use crate::upstream::UpstreamError;

/// Errors that speak of the client or of this gateway say nothing about the node, and one that says itself that it is not
/// there for requests is no failure; the rest is as usual: 5xx, time-outs
/// and connection errors are failures, all other answers successes.
#[must_use]
pub fn blame(answer: Result<StatusCode, &(dyn Error + 'static)>) -> Outcome {
    match answer.map_err(UpstreamError::find) {
        Err(Some(
            UpstreamError::RequestBody(_)
            | UpstreamError::BadRequest(_)
            | UpstreamError::Exhausted(_)
            | UpstreamError::Saturated(_)
            | UpstreamError::Unavailable(_),
        )) => Outcome::Ignored,
        Ok(_) | Err(_) => classify(answer),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_node_is_blamed_for_what_it_did_alone() {
        let blamed = |error: UpstreamError| blame(Err(&error));
        let cut = || "cut".into();
        assert_eq!(blamed(UpstreamError::RequestBody(cut())), Outcome::Ignored);
        assert_eq!(blamed(UpstreamError::BadRequest("x")), Outcome::Ignored);
        assert_eq!(blamed(UpstreamError::Saturated(1)), Outcome::Ignored);
        let none_left = rustix::io::Errno::MFILE;
        assert_eq!(blamed(UpstreamError::Exhausted(none_left.into())), Outcome::Ignored);
        let said = http::Response::new(bytes::Bytes::new());
        assert_eq!(blamed(UpstreamError::Unavailable(Box::new(said))), Outcome::Ignored);
        assert_eq!(blamed(UpstreamError::TimedOut(Duration::ZERO)), Outcome::Failure);
        assert_eq!(blamed(UpstreamError::ClosedBeforeResponse(None)), Outcome::Failure);
        assert_eq!(blame(Ok(StatusCode::BAD_GATEWAY)), Outcome::Failure);
        assert_eq!(blame(Ok(StatusCode::NOT_FOUND)), Outcome::Success);
    }
}
