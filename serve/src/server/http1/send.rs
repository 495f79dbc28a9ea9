//! Sending an answer.

use std::{
    future::poll_fn,
    pin::{Pin, pin},
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Extensions, HeaderMap, Response};
use http_body::{Body, Frame};
use tower::BoxError;

use super::{
    answer::{self, Asked, Ending},
    wire::Wire,
};

/// Maps with more room than this are not kept.
const MOST_FIELDS: usize = 64;
/// Maps and bytes of a buffer that a worker keeps for later.
const KEPT: (usize, usize) = (64, 256 * 1024);

/// A body that is not as long as was said.
#[derive(Debug, thiserror::Error)]
#[error("the answer's body ended before its length")]
struct TooShort;

impl Wire {
    /// Sends `response`. `may_go_on` tells whether there is a way to the next request. An error is for an answer that
    /// could not be sent whole, after which the connection can only close.
    pub(super) async fn answer<B>(
        &self,
        mut response: Response<B>,
        asked: Asked,
        may_go_on: bool,
    ) -> Result<(), BoxError>
    where
        B: Body<Data = Bytes, Error: Into<BoxError>>,
    {
        let may_go_on = may_go_on
            && asked.keep_alive
            && !self.shared.draining()
            && !answer::closes(response.headers());
        let (ending, goes_on) = self.begin_answer(&response, asked, may_go_on);
        let fields = std::mem::take(response.headers_mut());
        self.keep_maps(fields, std::mem::take(response.extensions_mut()));
        if ending != Ending::None {
            self.send_body(pin!(response.into_body()), ending).await.inspect_err(|_| {
                if ending == Ending::Close {
                    self.reset_at_end();
                }
            })?;
        }
        poll_fn(|cx| self.poll_flush(cx)).await?;
        self.end_answer(goes_on);
        Ok(())
    }

    fn begin_answer<B: Body>(
        &self,
        response: &Response<B>,
        asked: Asked,
        may_go_on: bool,
    ) -> (Ending, bool) {
        let inner = &mut *self.inner.borrow_mut();
        inner.answers = true;
        let out = &mut inner.output.bytes;
        if out.capacity() == 0 {
            *out = self.shared.buffer.take();
        }
        answer::write_head(out, response, asked, may_go_on, &self.shared.date)
    }

    fn end_answer(&self, goes_on: bool) {
        let inner = &mut *self.inner.borrow_mut();
        inner.answers = false;
        let buffer = std::mem::take(&mut inner.output.bytes);
        if buffer.capacity() <= KEPT.1 {
            self.shared.buffer.set(buffer);
        }
        // What is left of a body here, somebody else may be reading.
        inner.is_over = !goes_on || inner.upload.is_under_way();
    }

    fn keep_maps(&self, mut fields: HeaderMap, mut extensions: Extensions) {
        fields.clear();
        // What drops here may be anybody's, so nothing is borrowed yet.
        extensions.clear();
        let mut maps = self.shared.maps.borrow_mut();
        if maps.len() < KEPT.0 && fields.capacity() <= MOST_FIELDS {
            maps.push((fields, extensions));
        }
    }

    async fn send_body<B>(&self, mut body: Pin<&mut B>, ending: Ending) -> Result<(), BoxError>
    where
        B: Body<Data = Bytes, Error: Into<BoxError>>,
    {
        let mut left = if let Ending::Length(length) = ending { length } else { u64::MAX };
        while left > 0 && !(body.is_end_stream() && ending != Ending::Chunked) {
            let Some(frame) = poll_fn(|cx| self.poll_piece(body.as_mut(), cx)).await? else {
                break;
            };
            // Trailers are left out, as they may be.
            let Ok(mut data) = frame.into_data() else { continue };
            data.truncate(usize::try_from(left).unwrap_or(usize::MAX));
            left -= data.len() as u64;
            if !data.is_empty() {
                self.send_piece(data, ending).await?;
            }
        }
        match ending {
            Ending::Chunked => self.inner.borrow_mut().output.bytes.extend_from_slice(b"0\r\n\r\n"),
            Ending::Length(_) if left > 0 => return Err(TooShort.into()),
            _ => {}
        }
        Ok(())
    }

    /// The next piece of a body. While it has none, what there is goes out.
    fn poll_piece<B>(
        &self,
        body: Pin<&mut B>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Frame<Bytes>>, BoxError>>
    where
        B: Body<Data = Bytes, Error: Into<BoxError>>,
    {
        self.wake_overdue(cx);
        match body.poll_frame(cx) {
            Poll::Ready(frame) => Poll::Ready(frame.transpose().map_err(Into::into)),
            Poll::Pending => match self.poll_flush(cx) {
                Poll::Ready(Err(error)) => Poll::Ready(Err(error.into())),
                Poll::Ready(Ok(())) | Poll::Pending => Poll::Pending,
            },
        }
    }

    /// Adds a piece to what is to be written, and writes when that is much.
    async fn send_piece(&self, data: Bytes, ending: Ending) -> Result<(), BoxError> {
        let is_full = {
            let output = &mut self.inner.borrow_mut().output;
            if ending == Ending::Chunked {
                output.bytes.extend_from_slice(format!("{:x}\r\n", data.len()).as_bytes());
            }
            output.push(data);
            output.is_full()
        };
        if is_full {
            poll_fn(|cx| self.poll_flush(cx)).await?;
        }
        if ending == Ending::Chunked {
            self.inner.borrow_mut().output.bytes.extend_from_slice(b"\r\n");
        }
        Ok(())
    }
}
