//! Questions that every node answers, and their answers put together.

use serde_json::{Map, Value, json};

/// What one node said of itself; `None` where it said nothing, or nothing that can be read.
#[derive(Clone, Debug)]
pub struct NodeStats {
    /// Its address.
    pub node: String,
    /// The `data` of its answer.
    pub data: Option<Map<String, Value>>,
}

/// The `data` of a node's answer to a request for its statistics.
#[must_use]
pub fn read_stats(body: &[u8]) -> Option<Map<String, Value>> {
    match serde_json::from_slice(body).ok()? {
        Value::Object(mut envelope) => match envelope.remove("data") {
            Some(Value::Object(data)) => Some(data),
            _ => None,
        },
        _ => None,
    }
}

/// All nodes, each one's own figures, their sums, and who did not answer.
#[must_use]
pub fn stats(nodes: Vec<NodeStats>) -> Value {
    let names: Vec<_> = nodes.iter().map(|stats| stats.node.clone()).collect();
    let mut per_node = Vec::new();
    let mut unreachable = Vec::new();
    let (mut entries, mut hits, mut misses) = (0, 0, 0);
    for NodeStats { node, data } in nodes {
        let Some(data) = data else {
            unreachable.push(node);
            continue;
        };
        let count = |name: &str| {
            let cache = data.get("cache");
            cache.and_then(|cache| cache.get(name)).and_then(Value::as_u64).unwrap_or(0)
        };
        entries += count("entries");
        hits += count("hits");
        misses += count("misses");
        let named = std::iter::once(("node".to_owned(), Value::from(node)));
        per_node.push(Value::Object(named.chain(data).collect()));
    }
    json!({
        "nodes": names,
        "per_node": per_node,
        "aggregate": {
            "entries": entries,
            "hits": hits,
            "misses": misses,
            "hit_rate": hit_rate(hits, misses),
        },
        "unreachable": unreachable,
    })
}

/// Hits among all requests as a percentage with two digits, such as `99.71%`.
fn hit_rate(hits: u64, misses: u64) -> String {
    let all = u128::from(hits) + u128::from(misses);
    // In hundredths of a percent, rounded half up.
    let hundredths = (u128::from(hits) * 10_000 + all / 2).checked_div(all).unwrap_or(0);
    format!("{}.{:02}%", hundredths / 100, hundredths % 100)
}

/// What the reset of `reached` among `all` nodes is called.
#[must_use]
pub fn reset_message(reached: usize, all: usize) -> String {
    format!("Sent reset command to {reached} of {all} nodes.")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str, cache: Option<Value>) -> NodeStats {
        let data = cache.map(|cache| {
            read_stats(
                json!({"status_code": 0, "data": {"stock_count": 7, "cache": cache}})
                    .to_string()
                    .as_bytes(),
            )
            .unwrap()
        });
        NodeStats { node: name.to_owned(), data }
    }

    #[test]
    fn sums_what_the_nodes_say_and_lists_who_says_nothing() {
        let all = stats(vec![
            node("a:1", Some(json!({"entries": 3, "hits": 340, "misses": 1}))),
            node("b:2", None),
            node("c:3", Some(json!({"entries": 4, "hits": 4, "misses": 0}))),
        ]);
        assert_eq!(all["nodes"], json!(["a:1", "b:2", "c:3"]));
        assert_eq!(all["unreachable"], json!(["b:2"]));
        let sums = json!({"entries": 7, "hits": 344, "misses": 1, "hit_rate": "99.71%"});
        assert_eq!(all["aggregate"], sums);
        assert_eq!(all["per_node"][1]["node"], "c:3");
        assert_eq!(all["per_node"][1]["stock_count"], 7);
        assert_eq!(all["per_node"][1]["cache"]["entries"], 4);
    }

    #[test]
    fn a_hit_rate_has_two_digits_and_survives_its_edges() {
        assert_eq!(hit_rate(0, 0), "0.00%");
        assert_eq!(hit_rate(1, 0), "100.00%");
        assert_eq!(hit_rate(1, 2), "33.33%");
        assert_eq!(hit_rate(2, 1), "66.67%");
        assert_eq!(hit_rate(1, 1_999), "0.05%");
        assert_eq!(hit_rate(u64::MAX, u64::MAX), "50.00%");
    }

    #[test]
    fn what_is_no_envelope_is_no_answer() {
        for body in ["", "[]", "{}", r#"{"data":null}"#, r#"{"data":[1]}"#, "<html>"] {
            assert!(read_stats(body.as_bytes()).is_none(), "{body}");
        }
    }
}
