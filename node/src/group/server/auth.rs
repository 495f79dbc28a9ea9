//! Who may call: whoever knows the shared token, where there is one.

use std::sync::Arc;

use secrecy::{ExposeSecret, SecretString};
use tonic::{Request, Status, metadata::MetadataValue, service::Interceptor};

/// Lets requests through that carry the token.
#[derive(Clone, Debug)]
pub(super) struct Auth {
    token: Option<Arc<SecretString>>,
}

impl Auth {
    pub(super) fn new(token: Option<SecretString>) -> Self {
        Self { token: token.map(Arc::new) }
    }
}

impl Auth {
    /// Whether these credentials open; `given` is what stands under `authorization`.
    pub(super) fn check(&self, given: Option<&[u8]>) -> Result<(), Status> {
        let Some(token) = &self.token else { return Ok(()) };
        match given.and_then(|given| given.strip_prefix(b"Bearer ")) {
            Some(given) if same(given, token.expose_secret().as_bytes()) => Ok(()),
            Some(_) => Err(Status::unauthenticated("the token is not the group's")),
            None => Err(Status::unauthenticated("this group wants `authorization: Bearer TOKEN`")),
        }
    }
}

impl Interceptor for Auth {
    fn call(&mut self, request: Request<()>) -> Result<Request<()>, Status> {
        self.check(request.metadata().get("authorization").map(MetadataValue::as_bytes))?;
        Ok(request)
    }
}

/// Compares in a time that tells nothing but the length.
fn same(given: &[u8], wanted: &[u8]) -> bool {
    let differ = given.iter().zip(wanted).fold(0, |differ, (a, b)| differ | (a ^ b));
    given.len() == wanted.len() && std::hint::black_box(differ) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(auth: &mut Auth, header: Option<&str>) -> bool {
        let mut request = Request::new(());
        if let Some(header) = header {
            request.metadata_mut().insert("authorization", header.parse().unwrap());
        }
        auth.call(request).is_ok()
    }

    #[test]
    fn only_the_very_token_opens() {
        let mut auth = Auth::new(Some("secret".into()));
        assert!(ask(&mut auth, Some("Bearer secret")));
        for wrong in ["Bearer secre", "Bearer secrets", "Bearer Secret", "Bearer ", "secret"] {
            assert!(!ask(&mut auth, Some(wrong)), "{wrong}");
        }
        assert!(!ask(&mut auth, None));
        assert!(ask(&mut Auth::new(None), None), "without a token everyone may");
    }
}
