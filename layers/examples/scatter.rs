//! A list of words goes to the owners of the words on a ring, each asked once for all of its own; their answers come
//! back in the order of the list.
//!
//!     cargo run -p kamaitachi-layers --example scatter
use std::collections::BTreeMap;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Empty;
use kamaitachi_layers::{
    body::Body,
    head::Head,
    key::RoutingKey,
    scatter::{Merge, Part, Parts, ScatterLayer, Split},
    select::{Member, Pool, Select},
};
use tower::{BoxError, ServiceBuilder, ServiceExt as _, service_fn};

type Req = Request<Body<Empty<Bytes>>>;

/// Words separated by blanks, by their owners.
struct ByOwner<E>(Pool<E>);

/// The place of each word of each part in the list.
struct InOrder(Vec<Vec<usize>>);

impl<E> Split for ByOwner<E> {
    type Merge = InOrder;

    fn split(&self, _: Head<'_>, body: &Bytes) -> Option<Parts<InOrder>> {
        let text = std::str::from_utf8(body).ok()?;
        let members = self.0.members();
        let mut by_owner: BTreeMap<usize, Vec<(usize, &str)>> = BTreeMap::new();
        for (place, word) in text.split(' ').enumerate() {
            by_owner.entry(members.position(word.as_bytes())?).or_default().push((place, word));
        }
        let part = |words: &Vec<(usize, &str)>| {
            let words: Vec<&str> = words.iter().map(|(_, word)| *word).collect();
            Part { key: RoutingKey::from(words[0]), body: words.join(" ").into() }
        };
        let parts = by_owner.values().map(part).collect();
        let places = by_owner.values().map(|words| words.iter().map(|(place, _)| *place).collect());
        Some(Parts { parts, fields: Vec::new(), merge: InOrder(places.collect()) })
    }
}

impl Merge for InOrder {
    fn merge(self, answers: Vec<Response<Bytes>>) -> Option<Response<Bytes>> {
        let mut placed = BTreeMap::new();
        for (places, answer) in self.0.iter().zip(&answers) {
            let text = std::str::from_utf8(answer.body()).ok()?;
            placed.extend(places.iter().zip(text.split(' ')));
        }
        let words: Vec<&str> = placed.into_values().collect();
        Some(Response::new(words.join(" ").into()))
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), BoxError> {
    let pool = Pool::default();
    let members = ["localhost:8081", "localhost:8082"].map(|name| {
        let endpoint = service_fn(move |request: Req| async move {
            let words = request.body().bytes().cloned().unwrap_or_default();
            println!("{name} is asked for {words:?}");
            let shouted = words.to_ascii_uppercase();
            Ok::<Response<Body<Empty<Bytes>>>, BoxError>(Response::new(Body::buffered(
                shouted.into(),
            )))
        });
        Member::new(name, endpoint)
    });
    pool.set(members.into_iter().collect::<Result<Vec<_>, _>>()?);
    let stack = ServiceBuilder::new()
        .layer(ScatterLayer::new(ByOwner(pool.clone())))
        .service(Select::new(pool));
    let list = Body::buffered("one two three four five six".into());
    let answer = stack.oneshot(Request::new(list)).await?;
    println!("{:?}", answer.body().bytes());
    Ok(())
}
