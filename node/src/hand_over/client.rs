//! Asking a peer: one request on a connection of its own, within a time and a size.

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::{
    net::TcpStream,
    time::{Instant, timeout_at},
};
use tokio_util::task::AbortOnDropHandle;

/// What a peer answered.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    /// Whether time or room was over before the end of the body.
    pub(super) cut: bool,
}

/// Why a peer did not answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unanswered {
    #[error("no answer in time")]
    TooSlow,
    #[error("cannot connect: {0}")]
    Connect(#[from] std::io::Error),
    #[error("the connection failed: {0}")]
    Connection(#[from] hyper::Error),
    #[error("not an address: {0}")]
    Address(#[from] http::Error),
    #[error("answered {status}: {text}")]
    Status { status: StatusCode, text: String },
}

/// Posts `body` to a path of `peer`, and reads up to `limit` bytes of the answer until `deadline`.
///
/// Cancel safe: what was not answered is given up, with its connection.
pub(super) async fn post(
    peer: &str,
    path: &str,
    headers: impl IntoIterator<Item = (HeaderName, HeaderValue)>,
    body: Bytes,
    limit: usize,
    deadline: Instant,
) -> Result<Answer, Unanswered> {
    let mut request = Request::builder().method(Method::POST).uri(path).header(header::HOST, peer);
    if let Some(own) = request.headers_mut() {
        own.extend(headers);
    }
    let request = request.body(Full::new(body))?;
    let asking = async {
        let stream = TcpStream::connect(peer).await?;
        stream.set_nodelay(true)?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let connection = AbortOnDropHandle::new(tokio::spawn(connection));
        let response = sender.send_request(request).await?;
        Ok::<_, Unanswered>((response, connection))
    };
    let asked = timeout_at(deadline, asking).await.map_err(|_| Unanswered::TooSlow)?;
    let (response, _connection) = asked?;
    let (head, mut stream) = response.into_parts();
    let (mut body, mut cut) = (BytesMut::new(), false);
    loop {
        let Ok(frame) = timeout_at(deadline, stream.frame()).await else {
            cut = true;
            break;
        };
        let Some(frame) = frame else { break };
        if let Ok(data) = frame?.into_data() {
            body.extend_from_slice(&data);
        }
        if body.len() > limit {
            cut = true;
            break;
        }
    }
    if head.status != StatusCode::OK {
        let text = String::from_utf8_lossy(&body[..body.len().min(300)]).into_owned();
        return Err(Unanswered::Status { status: head.status, text });
    }
    Ok(Answer { headers: head.headers, body: body.freeze(), cut })
}
