//! A copy of a request, asked for only when it is needed.
//!
//! Most requests are never sent twice, so none is copied beforehand. The future that waits for the answer still has the
//! request; when that is late, it is polled once more with the word out that a copy is wanted, and whoever holds the
//! request beneath hands one in. All of that happens within one call to `poll`, on one thread.
use std::{
    cell::{Cell, RefCell},
    future::poll_fn,
    pin::pin,
    sync::Arc,
};

use bytes::Bytes;
use http::Request;

thread_local! {
    static IS_WANTED: Cell<bool> = const { Cell::new(false) };
    static OFFER: RefCell<Offer> = const { RefCell::new(Offer { request: None, member: None, is_last: false }) };
}

/// What was handed in.
#[derive(Debug, Default)]
pub(super) struct Offer {
    pub(super) request: Option<Request<Bytes>>,
    /// Whom the request is with.
    pub(super) member: Option<Arc<str>>,
    /// Whether there is nobody else.
    pub(super) is_last: bool,
}

/// Whether a copy is wanted from the future that is being polled.
#[must_use]
pub fn is_wanted() -> bool {
    IS_WANTED.get()
}

/// Hands in what `copy` makes, if a copy is [wanted](is_wanted).
///
/// To be called by an upstream client whenever its future is about to answer pending while it has the whole request,
/// and the request may be sent twice without harm. Costs a look at a thread-local flag when none is wanted.
pub fn offer(copy: impl FnOnce() -> Option<Request<Bytes>>) {
    if is_wanted()
        && let Some(copy) = copy()
    {
        OFFER.with_borrow_mut(|offer| offer.request = Some(copy));
    }
}

/// `future`, which [offers](offer) what `copy` makes whenever it is pending.
///
/// Cancel safe if `future` is.
pub async fn offering<F: Future>(
    copy: impl Fn() -> Option<Request<Bytes>>,
    future: F,
) -> F::Output {
    let mut future = pin!(future);
    poll_fn(|cx| {
        let polled = future.as_mut().poll(cx);
        if polled.is_pending() {
            offer(&copy);
        }
        polled
    })
    .await
}

/// Says whom the request is with, where a copy is wanted.
pub(crate) fn tell(member: &Arc<str>, is_last: bool) {
    if is_wanted() {
        OFFER.with_borrow_mut(|offer| {
            offer.member = Some(Arc::clone(member));
            offer.is_last = is_last;
        });
    }
}

/// What `poll` answers, and what is handed in meanwhile.
pub(super) fn collect<T>(poll: impl FnOnce() -> T) -> (T, Offer) {
    /// Takes the word back even when `poll` panics.
    struct Wanted;
    impl Drop for Wanted {
        fn drop(&mut self) {
            IS_WANTED.set(false);
        }
    }
    OFFER.take();
    IS_WANTED.set(true);
    let wanted = Wanted;
    let polled = poll();
    drop(wanted);
    (polled, OFFER.take())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_copied_unless_it_is_wanted() {
        offer(|| unreachable!("nobody wants it"));
        tell(&"a".into(), false);
        let ((), got) = collect(|| {
            offer(|| Some(Request::new(Bytes::from_static(b"x"))));
            tell(&"b".into(), true);
        });
        assert_eq!(got.request.unwrap().body(), "x");
        assert_eq!((got.member.as_deref(), got.is_last), (Some("b"), true));
        assert!(!is_wanted());
        assert!(collect(|| ()).1.request.is_none(), "what was handed in is gone");
    }

    #[test]
    fn a_panic_takes_the_word_back() {
        let panics = || collect(|| panic!("on purpose"));
        std::panic::catch_unwind(panics).unwrap_err();
        assert!(!is_wanted());
    }
}
