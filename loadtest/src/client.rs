//! One kept-alive HTTP/1.1 connection.

use std::{io, time::Duration};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request, Uri, header};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::record::Outcome;

/// A base URL and what every request to it carries.
#[derive(Clone, Debug)]
pub struct Target {
    address: String,
    host: HeaderValue,
    prefix: String,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Target {
    /// The target behind a base URL (see [`Args`](crate::args::Args)).
    #[must_use]
    pub fn new(base: &Uri, headers: &[(HeaderName, HeaderValue)]) -> Self {
        let host = base.host().unwrap_or("localhost");
        let authority = base.authority().map_or(host, http::uri::Authority::as_str);
        Self {
            address: format!("{host}:{}", base.port_u16().unwrap_or(80)),
            host: HeaderValue::from_str(authority).unwrap_or(HeaderValue::from_static("localhost")),
            prefix: base.path().trim_end_matches('/').to_owned(),
            headers: headers.to_vec(),
        }
    }

    /// The same server without the path: where a gateway has its own endpoints.
    #[must_use]
    pub fn root(&self) -> Self {
        Self { prefix: String::new(), ..self.clone() }
    }

    /// `host:port`.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// A request for `path` below the base.
    ///
    /// # Errors
    /// Where the path is no path.
    pub fn request(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> http::Result<Request<Full<Bytes>>> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.prefix))
            .header(header::HOST, &self.host)
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(body))?;
        for (name, value) in &self.headers {
            request.headers_mut().insert(name, value.clone());
        }
        Ok(request)
    }
}

/// A connection that is made when it is first needed and made anew when it broke.
#[derive(Debug)]
pub struct Connection {
    target: Target,
    sender: Option<SendRequest<Full<Bytes>>>,
    timeout: Duration,
}

impl Connection {
    /// Nothing is dialled yet. A request that takes longer than `timeout` is given up.
    #[must_use]
    pub fn new(target: Target, timeout: Duration) -> Self {
        Self { target, sender: None, timeout }
    }

    /// The target.
    #[must_use]
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// Sends one request and waits for the whole answer. Cancel safe: a dropped call closes the
    /// connection.
    ///
    /// # Errors
    /// What went wrong, as it is counted.
    pub async fn send(&mut self, request: Request<Full<Bytes>>) -> Result<(u16, Bytes), Outcome> {
        match tokio::time::timeout(self.timeout, self.exchange(request)).await {
            Ok(answer) => answer,
            Err(_) => {
                self.sender = None;
                Err(Outcome::TimedOut)
            }
        }
    }

    async fn exchange(&mut self, request: Request<Full<Bytes>>) -> Result<(u16, Bytes), Outcome> {
        let mut sender = match self.sender.take() {
            Some(sender) if !sender.is_closed() => sender,
            _ => connect(&self.target.address).await.map_err(|_| Outcome::Connect)?,
        };
        sender.ready().await.map_err(|_| Outcome::Broken)?;
        let response = sender.send_request(request).await.map_err(|_| Outcome::Broken)?;
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.map_err(|_| Outcome::Broken)?;
        self.sender = Some(sender);
        Ok((status, body.to_bytes()))
    }
}

async fn connect(address: &str) -> io::Result<SendRequest<Full<Bytes>>> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let (sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
    tokio::spawn(connection);
    Ok(sender)
}
