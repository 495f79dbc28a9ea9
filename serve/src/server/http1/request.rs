//! Taking the next request off a connection.

use std::{
    rc::Rc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::Request;

use super::{
    Coming,
    answer::Asked,
    heads::Arrived,
    upload::Upload,
    wire::{Inner, Seen, Wire},
};
use crate::{framing::head::Framing, server::Incoming};

impl Wire {
    /// The next request; none at the end of the connection.
    pub(super) fn poll_request(
        self: &Rc<Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<(Request<Incoming>, Asked)>> {
        let inner = &mut *self.inner.borrow_mut();
        let limits = &self.shared.protocols.framing;
        let looked = self.poll_look(cx, inner, |inner, bytes| {
            let (fields, extensions) = self.spare_maps();
            let Some(mut arrived) = inner.heads.read(bytes, limits, fields)? else {
                return Ok(Seen::Short);
            };
            *arrived.request.extensions_mut() = extensions;
            let whole = whole_body(&arrived, bytes);
            let used = arrived.length + whole.as_ref().map_or(0, Bytes::len);
            Ok(Seen::All(used, (arrived, whole)))
        });
        match looked {
            Poll::Ready(Ok(Ok(Some((arrived, whole))))) => {
                Poll::Ready(Some(self.begin(inner, arrived, whole)))
            }
            Poll::Ready(Ok(Err(violation))) => {
                self.refuse(inner, violation, false);
                Poll::Ready(None)
            }
            Poll::Pending if self.may_wait_for_head(inner) => Poll::Pending,
            Poll::Ready(Ok(Ok(None)) | Err(_)) | Poll::Pending => Poll::Ready(None),
        }
    }

    fn begin(
        self: &Rc<Self>,
        inner: &mut Inner,
        arrived: Arrived,
        whole: Option<Bytes>,
    ) -> (Request<Incoming>, Asked) {
        let Arrived { request, framing, options, .. } = arrived;
        self.state.head_done();
        inner.number += 1;
        inner.upload = if whole.is_some() { Upload::None } else { Upload::of(framing) };
        inner.expects = options.expects && whole.is_none() && !request_is_old(&request);
        let body = match whole {
            Some(whole) => Incoming::whole(whole),
            None => Incoming::coming(Coming { wire: Rc::clone(self), number: inner.number }),
        };
        let asked = Asked::of(&request, options);
        (request.map(|()| body), asked)
    }
}

fn request_is_old(request: &Request<()>) -> bool {
    request.version() == http::Version::HTTP_10
}

/// The body behind a head at the front of `bytes`, if it is there or there is none.
fn whole_body(arrived: &Arrived, bytes: &[u8]) -> Option<Bytes> {
    let Framing::Length(length) = arrived.framing else { return None };
    let body = bytes[arrived.length..].get(..usize::try_from(length).ok()?)?;
    Some(Bytes::copy_from_slice(body))
}
