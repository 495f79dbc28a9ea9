//! Sets of methods.
use std::{fmt, ops::BitOr, str::FromStr};

use http::{HeaderValue, Method};

/// A set of request methods, combined with `|`.
///
/// `GET` brings `HEAD` with it, which servers must offer wherever they offer `GET` (RFC 9110, 9.1). Methods beyond
/// the nine that HTTP names are in [`ANY`](Self::ANY) only.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Methods(u16);

const NAMED: [(Method, u16); 9] = [
    (Method::GET, 1),
    (Method::HEAD, 1 << 1),
    (Method::POST, 1 << 2),
    (Method::PUT, 1 << 3),
    (Method::PATCH, 1 << 4),
    (Method::DELETE, 1 << 5),
    (Method::OPTIONS, 1 << 6),
    (Method::TRACE, 1 << 7),
    (Method::CONNECT, 1 << 8),
];

impl Methods {
    /// `GET` and `HEAD`.
    pub const GET: Self = Self(0b11);
    /// `HEAD` alone.
    pub const HEAD: Self = Self(1 << 1);
    /// `POST`.
    pub const POST: Self = Self(1 << 2);
    /// `PUT`.
    pub const PUT: Self = Self(1 << 3);
    /// `PATCH`.
    pub const PATCH: Self = Self(1 << 4);
    /// `DELETE`.
    pub const DELETE: Self = Self(1 << 5);
    /// `OPTIONS`.
    pub const OPTIONS: Self = Self(1 << 6);
    /// Every method there is, those without a constant here included.
    pub const ANY: Self = Self(u16::MAX);

    /// Whether `method` is in the set.
    #[must_use]
    pub fn contains(self, method: &Method) -> bool {
        self.0 & bit(method) != 0
    }

    /// Whether the sets have a method in common.
    #[must_use]
    pub const fn overlaps(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// The set as the value of an `Allow` header.
    pub(super) fn allow(self) -> HeaderValue {
        HeaderValue::from_str(&self.to_string()).unwrap_or(HeaderValue::from_static(""))
    }
}

// Methods without a bit of their own share the highest one, which only `ANY` has.
fn bit(method: &Method) -> u16 {
    match *method {
        Method::GET => 1,
        Method::HEAD => 1 << 1,
        Method::POST => 1 << 2,
        Method::PUT => 1 << 3,
        Method::PATCH => 1 << 4,
        Method::DELETE => 1 << 5,
        Method::OPTIONS => 1 << 6,
        Method::TRACE => 1 << 7,
        Method::CONNECT => 1 << 8,
        _ => 1 << 15,
    }
}

impl BitOr for Methods {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// The names, comma-separated, as in an `Allow` header.
impl fmt::Display for Methods {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut names = NAMED.iter().filter(|(_, bit)| self.0 & bit != 0);
        if let Some((first, _)) = names.next() {
            f.write_str(first.as_str())?;
        }
        names.try_for_each(|(name, _)| write!(f, ", {name}"))
    }
}

impl fmt::Debug for Methods {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::ANY { f.write_str("ANY") } else { write!(f, "{self}") }
    }
}

/// What was read is not the name of a method.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown method {0:?}, expected any, get, head, post, put, patch, delete or options")]
pub struct InvalidMethod(String);

/// One name, in any case: `get` (which brings `HEAD`), …, or `any`.
impl FromStr for Methods {
    type Err = InvalidMethod;

    fn from_str(name: &str) -> Result<Self, InvalidMethod> {
        Ok(match name.trim().to_ascii_lowercase().as_str() {
            "any" => Self::ANY,
            "get" => Self::GET,
            "head" => Self::HEAD,
            "post" => Self::POST,
            "put" => Self::PUT,
            "patch" => Self::PATCH,
            "delete" => Self::DELETE,
            "options" => Self::OPTIONS,
            _ => return Err(InvalidMethod(name.to_owned())),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn get_brings_head() {
        assert!(Methods::GET.contains(&Method::HEAD));
        assert!(!Methods::HEAD.contains(&Method::GET));
        assert_eq!((Methods::GET | Methods::POST).allow(), "GET, HEAD, POST");
    }

    #[test]
    fn a_method_that_http_does_not_name_is_in_any_only() {
        let purge = Method::from_bytes(b"PURGE").unwrap();
        assert!(Methods::ANY.contains(&purge));
        let all = "get post put patch delete options head";
        let named = all.split(' ').map(|name| name.parse::<Methods>().unwrap());
        assert!(!named.reduce(BitOr::bitor).unwrap().contains(&purge));
    }
}
