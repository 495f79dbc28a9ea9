//! The layer, its service and future.
use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use http::{HeaderValue, Method, Request, Response, Version, header::VIA};
use ipnet::IpNet;
use pin_project_lite::pin_project;
use tower::{BoxError, Layer, Service};

use super::{
    fields, host,
    trust::{self, Trusted},
};
use crate::{
    client::{ClientIp, PeerAddr},
    rejection::Rejection,
};

/// How many fields are added at the most, so that the map grows once.
const ADDED: usize = 5;

/// Builds [`Forward`] services. See the [module](super) for what they do.
#[derive(Clone, Debug)]
pub struct ForwardLayer {
    settings: Arc<Settings>,
}

#[derive(Clone, Debug)]
struct Settings {
    trusted: Trusted,
    proto: HeaderValue,
    via: Via,
}

/// One value for each version that a message may have come in.
#[derive(Clone, Debug)]
struct Via {
    http_10: HeaderValue,
    http_11: HeaderValue,
    http_2: HeaderValue,
    http_3: HeaderValue,
}

/// A name for `Via` that is not a token of HTTP.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("pseudonym {0:?} must be one or more letters, digits, dots, dashes or underscores")]
pub struct InvalidPseudonym(String);

impl ForwardLayer {
    /// Trusts nobody, says `http`, and calls itself `kamaitachi`.
    #[must_use]
    pub fn new() -> Self {
        let settings = Settings {
            trusted: Trusted::default(),
            proto: HeaderValue::from_static("http"),
            via: Via {
                http_10: HeaderValue::from_static("1.0 kamaitachi"),
                http_11: HeaderValue::from_static("1.1 kamaitachi"),
                http_2: HeaderValue::from_static("2 kamaitachi"),
                http_3: HeaderValue::from_static("3 kamaitachi"),
            },
        };
        Self { settings: Arc::new(settings) }
    }

    /// Believes what peers in these networks say about the client.
    #[must_use]
    pub fn trusting(self, networks: impl IntoIterator<Item = IpNet>) -> Self {
        let trusted = Trusted(networks.into_iter().collect());
        Self { settings: Arc::new(Settings { trusted, ..Arc::unwrap_or_clone(self.settings) }) }
    }

    /// Says `https` in `X-Forwarded-Proto`, for connections that came over TLS.
    #[must_use]
    pub fn https(self) -> Self {
        let proto = HeaderValue::from_static("https");
        Self { settings: Arc::new(Settings { proto, ..Arc::unwrap_or_clone(self.settings) }) }
    }

    /// Calls itself `pseudonym` in `Via`.
    ///
    /// # Errors
    ///
    /// [`InvalidPseudonym`] if it is empty or has other characters than letters, digits, dots, dashes, underscores.
    pub fn named(self, pseudonym: &str) -> Result<Self, InvalidPseudonym> {
        let is_good = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
        let invalid = || InvalidPseudonym(pseudonym.to_owned());
        if pseudonym.is_empty() || !pseudonym.bytes().all(is_good) {
            return Err(invalid());
        }
        let value = |version: &str| {
            HeaderValue::try_from(format!("{version} {pseudonym}")).map_err(|_| invalid())
        };
        let via = Via {
            http_10: value("1.0")?,
            http_11: value("1.1")?,
            http_2: value("2")?,
            http_3: value("3")?,
        };
        let settings = Settings { via, ..Arc::unwrap_or_clone(self.settings) };
        Ok(Self { settings: Arc::new(settings) })
    }
}

impl Default for ForwardLayer {
    fn default() -> Self {
        Self::new()
    }
}

impl Via {
    fn of(&self, version: Version) -> HeaderValue {
        match version {
            Version::HTTP_09 | Version::HTTP_10 => self.http_10.clone(),
            Version::HTTP_2 => self.http_2.clone(),
            Version::HTTP_3 => self.http_3.clone(),
            _ => self.http_11.clone(),
        }
    }
}

impl Settings {
    fn prepare<B>(&self, request: &mut Request<B>) -> Result<(), Rejection> {
        if matches!(*request.method(), Method::TRACE | Method::CONNECT) {
            const ALLOW: &str = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";
            return Err(Rejection::MethodNotAllowed { allow: HeaderValue::from_static(ALLOW) });
        }
        let version = request.version();
        if version > Version::HTTP_11 {
            fields::join_cookies(request.headers_mut());
        }
        let via = self.via.of(version);
        let mut found = fields::look(request.headers());
        host::settle(request, &mut found).map_err(|why| Rejection::BadTarget { why })?;
        // A copy, since peer and fields are in one request and both are needed at once.
        let peer = request.extensions().get::<PeerAddr>().cloned();
        let headers = request.headers_mut();
        found.remove_from(headers);
        headers.reserve(ADDED);
        let client = trust::vouch(headers, found, peer.as_ref(), &self.trusted, &self.proto);
        headers.append(VIA, via);
        if let Some(client) = client {
            request.extensions_mut().insert(ClientIp(client));
        }
        Ok(())
    }
}

impl<S> Layer<S> for ForwardLayer {
    type Service = Forward<S>;

    fn layer(&self, inner: S) -> Forward<S> {
        Forward { inner, settings: Arc::clone(&self.settings) }
    }
}

/// Does what an intermediary has to. See the [module](super).
#[derive(Clone, Debug)]
pub struct Forward<S> {
    inner: S,
    settings: Arc<Settings>,
}

impl<S, B, R> Service<Request<B>> for Forward<S>
where
    S: Service<Request<B>, Response = Response<R>, Error: Into<BoxError>>,
{
    type Response = Response<R>;
    type Error = BoxError;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let state = match self.settings.prepare(&mut request) {
            Ok(()) => State::Forwarded {
                inner: self.inner.call(request),
                settings: Arc::clone(&self.settings),
            },
            Err(why) => State::Refused { why: Some(why) },
        };
        ResponseFuture { state }
    }
}

pin_project! {
    /// The future of [`Forward`].
    #[derive(Debug)]
    pub struct ResponseFuture<F> {
        #[pin]
        state: State<F>,
    }
}

pin_project! {
    #[derive(Debug)]
    #[project = StateProj]
    enum State<F> {
        Forwarded { #[pin] inner: F, settings: Arc<Settings> },
        Refused { why: Option<Rejection> },
    }
}

impl<F, R, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<Response<R>, E>>,
    E: Into<BoxError>,
{
    type Output = Result<Response<R>, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().state.project() {
            StateProj::Forwarded { inner, settings } => {
                let mut response = ready!(inner.poll(cx)).map_err(Into::into)?;
                let via = settings.via.of(response.version());
                fields::remove_from_response(response.headers_mut());
                response.headers_mut().append(VIA, via);
                Poll::Ready(Ok(response))
            }
            StateProj::Refused { why } => {
                Poll::Ready(Err(why.take().expect("not polled again after it is ready").into()))
            }
        }
    }
}
