//! The table of routes, checked when it is built.
use std::{collections::BTreeMap, fmt};

use http::{HeaderValue, Method};

use super::Methods;
use crate::rejection::Rejection;

/// Which service answers which path and method.
pub struct Table<S> {
    exact: matchit::Router<usize>,
    prefixes: matchit::Router<usize>,
    places: Vec<Place<S>>,
}

// All the services that one pattern has.
struct Place<S> {
    services: Vec<(Methods, S)>,
    allow: HeaderValue,
}

impl<S> Table<S> {
    /// Starts an empty table.
    #[must_use]
    pub fn builder() -> Builder<S> {
        Builder { routes: Vec::new() }
    }

    /// The service for `method` on `path`.
    ///
    /// # Errors
    ///
    /// [`Rejection::NoRoute`] or [`Rejection::MethodNotAllowed`].
    pub fn find(&self, path: &str, method: &Method) -> Result<&S, Rejection> {
        let found = self.exact.at(path).or_else(|_| self.prefixes.at(path));
        let place = &self.places[*found.map_err(|_| Rejection::NoRoute)?.value];
        match place.services.iter().find(|(methods, _)| methods.contains(method)) {
            Some((_, service)) => Ok(service),
            None => Err(Rejection::MethodNotAllowed { allow: place.allow.clone() }),
        }
    }
}

impl<S> fmt::Debug for Table<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Table").field("places", &self.places.len()).finish_non_exhaustive()
    }
}

/// Collects routes for a [`Table`]; their order does not matter.
pub struct Builder<S> {
    routes: Vec<(String, Methods, S)>,
}

/// A route that cannot be in the table.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRoute {
    /// The pattern does not begin with a slash.
    #[error("route {0:?} must begin with a slash")]
    NoSlash(String),
    /// Two routes have the same pattern and a method in common.
    #[error("route {0:?} is there twice for one of its methods")]
    Repeated(String),
    /// The pattern is malformed, or cannot be told from another one.
    #[error("route {pattern:?}: {why}")]
    Pattern {
        /// The pattern.
        pattern: String,
        /// What the matcher says of it.
        why: String,
    },
}

impl<S> Builder<S> {
    /// Adds a service for `methods` on `pattern`.
    #[must_use]
    pub fn route(mut self, pattern: impl Into<String>, methods: Methods, service: S) -> Self {
        self.routes.push((pattern.into(), methods, service));
        self
    }

    /// Makes the table.
    ///
    /// # Errors
    ///
    /// [`InvalidRoute`] for the first route that cannot be in it.
    pub fn build(self) -> Result<Table<S>, InvalidRoute> {
        let mut at: BTreeMap<String, usize> = BTreeMap::new();
        let mut places: Vec<Place<S>> = Vec::new();
        for (pattern, methods, service) in self.routes {
            if !pattern.starts_with('/') {
                return Err(InvalidRoute::NoSlash(pattern));
            }
            let place = *at.entry(pattern.trim_end_matches('/').to_owned()).or_insert_with(|| {
                places.push(Place { services: Vec::new(), allow: HeaderValue::from_static("") });
                places.len() - 1
            });
            let services = &mut places[place].services;
            if services.iter().any(|(others, _)| others.overlaps(methods)) {
                return Err(InvalidRoute::Repeated(pattern));
            }
            services.push((methods, service));
        }
        for place in &mut places {
            let all = place.services.iter().map(|(methods, _)| *methods).reduce(|a, b| a | b);
            place.allow = all.map_or(HeaderValue::from_static(""), Methods::allow);
        }
        let (exact, prefixes) = paths(&at)?;
        Ok(Table { exact, prefixes, places })
    }
}

impl<S> fmt::Debug for Builder<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let routes = self.routes.iter().map(|(pattern, methods, _)| (pattern, methods));
        f.debug_map().entries(routes).finish()
    }
}

type Paths = matchit::Router<usize>;

/// Every pattern, with and without its trailing slash: the exact ones, and the prefixes.
fn paths(at: &BTreeMap<String, usize>) -> Result<(Paths, Paths), InvalidRoute> {
    let (mut exact, mut prefixes) = (Paths::new(), Paths::new());
    for (pattern, place) in at {
        let Some(prefix) = pattern.strip_suffix("/*") else {
            insert_both(&mut exact, pattern, *place)?;
            continue;
        };
        insert_both(&mut prefixes, prefix, *place)?;
        insert(&mut prefixes, &format!("{prefix}/{{*rest}}"), *place)?;
    }
    Ok((exact, prefixes))
}

fn insert_both(paths: &mut Paths, pattern: &str, place: usize) -> Result<(), InvalidRoute> {
    insert(paths, &format!("{pattern}/"), place)?;
    if pattern.is_empty() { Ok(()) } else { insert(paths, pattern, place) }
}

fn insert(paths: &mut Paths, pattern: &str, place: usize) -> Result<(), InvalidRoute> {
    paths.insert(pattern, place).map_err(|error| InvalidRoute::Pattern {
        pattern: pattern.to_owned(),
        why: error.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(routes: &[(&str, Methods)]) -> Table<String> {
        let named = |builder: Builder<String>, (pattern, methods): &(&str, Methods)| {
            builder.route(*pattern, *methods, (*pattern).to_owned())
        };
        routes.iter().fold(Table::builder(), named).build().unwrap()
    }

    fn found(table: &Table<String>, path: &str) -> String {
        match table.find(path, &Method::POST) {
            Ok(pattern) => pattern.clone(),
            Err(rejection) => rejection.to_string(),
        }
    }

    #[test]
    fn the_more_static_route_wins_whatever_the_order() {
        let mut routes = [
            ("/*", Methods::ANY),
            ("/data/*", Methods::ANY),
            ("/data/v1/*", Methods::ANY),
            ("/data/v1/save", Methods::POST),
            ("/data/v1/delete/*", Methods::ANY),
            ("/data/v1/get/{id}", Methods::ANY),
            ("/data/v1/get/*", Methods::ANY),
            ("/data/v1/get/all", Methods::ANY),
            ("/health", Methods::GET),
        ];
        for _ in 0..routes.len() {
            routes.rotate_left(1);
            let table = table(&routes);
            for (path, pattern) in [
                ("/data/v1/save", "/data/v1/save"),
                ("/data/v1/save/", "/data/v1/save"),
                ("/data/v1/save/x", "/data/v1/*"),
                ("/data/v1/saved", "/data/v1/*"),
                ("/data/v1/delete/33:000001", "/data/v1/delete/*"),
                ("/data/v1/delete", "/data/v1/delete/*"),
                ("/data/v1/get/33:000001", "/data/v1/get/{id}"),
                ("/data/v1/get/33:000001/", "/data/v1/get/{id}"),
                ("/data/v1/get/all", "/data/v1/get/all"),
                ("/data/v1/get/a/b", "/data/v1/get/*"),
                ("/data/v1/got/a/b", "/data/v1/*"),
                ("/data/v1", "/data/v1/*"),
                ("/data/kamaitachi/api/data/v1/period", "/data/*"),
                ("/data", "/data/*"),
                ("/data/", "/data/*"),
                ("/database", "/*"),
                ("/", "/*"),
                ("/health", "method not allowed here, allowed are GET, HEAD"),
                ("/health/", "method not allowed here, allowed are GET, HEAD"),
            ] {
                assert_eq!(found(&table, path), pattern, "{path}");
            }
        }
    }

    #[test]
    fn a_prefix_leaves_its_own_path_to_an_exact_route() {
        let table = table(&[("/a/*", Methods::ANY), ("/a", Methods::POST)]);
        assert_eq!(found(&table, "/a/"), "/a");
        assert_eq!(found(&table, "/a/b"), "/a/*");
    }

    #[test]
    fn methods_of_one_path_go_to_their_own_services_and_are_all_allowed() {
        let table = Table::builder()
            .route("/x", Methods::GET, "read")
            .route("/x/", Methods::PUT | Methods::POST, "write")
            .build()
            .unwrap();
        assert_eq!(*table.find("/x/", &Method::HEAD).unwrap(), "read");
        assert_eq!(*table.find("/x", &Method::PUT).unwrap(), "write");
        let Err(Rejection::MethodNotAllowed { allow }) = table.find("/x", &Method::DELETE) else {
            panic!("DELETE must not be allowed")
        };
        assert_eq!(allow, "GET, HEAD, POST, PUT");
    }

    #[test]
    fn tables_that_say_two_things_are_refused() {
        let twice = Table::builder().route("/x", Methods::ANY, 1).route("/x/", Methods::GET, 2);
        assert_eq!(twice.build().unwrap_err(), InvalidRoute::Repeated("/x/".into()));
        let unclear =
            Table::builder().route("/{a}", Methods::ANY, 1).route("/{b}", Methods::ANY, 2);
        assert!(matches!(unclear.build(), Err(InvalidRoute::Pattern { .. })));
        let relative = Table::builder().route("x", Methods::ANY, 1);
        assert_eq!(relative.build().unwrap_err(), InvalidRoute::NoSlash("x".into()));
    }
}
