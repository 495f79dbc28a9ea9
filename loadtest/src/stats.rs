//! The hit rate, as the cluster itself counts it.

use bytes::Bytes;
use http::Method;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::client::{Connection, Target};

const STATS: &str = "/kamaitachi/api/data/v1/stats";
const RESET: &str = "/kamaitachi/api/data/v1/cache/reset";

/// Requests that read no storage, and those that did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hits {
    /// Requests that read no storage.
    pub hits: u64,
    /// Requests that did.
    pub misses: u64,
}

impl Hits {
    /// What was counted since `before`; `None` where the counters were zeroed in between.
    #[must_use]
    pub fn since(self, before: Self) -> Option<Self> {
        Some(Self {
            hits: self.hits.checked_sub(before.hits)?,
            misses: self.misses.checked_sub(before.misses)?,
        })
    }

    /// Hits of a hundred requests; `None` without requests.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a percentage")]
    pub fn rate(self) -> Option<f64> {
        let all = self.hits + self.misses;
        (all > 0).then(|| 100.0 * self.hits as f64 / all as f64)
    }
}

/// Who is asked: the gateway in front of the nodes, or each node.
#[derive(Clone, Debug)]
pub struct Cluster {
    asked: Vec<Target>,
}

impl Cluster {
    /// Asks the gateway behind `target`, at its root; or `nodes`, where there are any.
    #[must_use]
    pub fn new(target: &Target, nodes: &[Target]) -> Self {
        let asked = if nodes.is_empty() { vec![target.root()] } else { nodes.to_vec() };
        Self { asked }
    }

    /// The counters of all nodes together; `None` where one can't be had.
    pub async fn hits(&self) -> Option<Hits> {
        let mut sum = Hits::default();
        for target in &self.asked {
            let data = call(target, Method::GET, STATS).await?;
            let data = data.get("data")?;
            // A gateway adds its nodes up; a node has a cache of its own.
            let counters = data.get("aggregate").or_else(|| data.get("cache"))?;
            sum.hits += counters.get("hits")?.as_u64()?;
            sum.misses += counters.get("misses")?.as_u64()?;
        }
        Some(sum)
    }

    /// Empties every cache. Says whether that worked everywhere.
    pub async fn clear(&self) -> bool {
        for target in &self.asked {
            if call(target, Method::POST, &format!("{RESET}?clear=true")).await.is_none() {
                return false;
            }
        }
        true
    }
}

async fn call(target: &Target, method: Method, path: &str) -> Option<Value> {
    let timeout = std::time::Duration::from_secs(5);
    let request = target.request(method, path, Bytes::new()).ok()?;
    let (status, body) = Connection::new(target.clone(), timeout).send(request).await.ok()?;
    (status == 200).then(|| serde_json::from_slice(&body).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_of_the_run_alone() {
        let before = Hits { hits: 10, misses: 10 };
        let after = Hits { hits: 109, misses: 11 };
        assert_eq!(after.since(before).unwrap().rate(), Some(99.0));
        assert_eq!(before.since(after), None);
        assert_eq!(Hits::default().rate(), None);
    }
}
