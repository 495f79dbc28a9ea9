//! The description of the API, served as it is.

/// An OpenAPI 3.1 document of every path in [`TABLE`](super::routes::TABLE).
pub const OPENAPI: &str = include_str!("openapi.json");

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;
    use crate::api::{
        request::{Reader, Rules},
        routes::TABLE,
    };

    fn document() -> Value {
        serde_json::from_str(OPENAPI).unwrap()
    }

    #[test]
    fn it_describes_every_operation_and_no_other() {
        let document = document();
        assert_eq!(document["openapi"], "3.1.0");
        assert_eq!(document["info"]["version"], env!("CARGO_PKG_VERSION"));
        let described: BTreeSet<(String, String, String)> = document["paths"]
            .as_object()
            .unwrap()
            .iter()
            .flat_map(|(path, methods)| {
                methods.as_object().unwrap().iter().map(move |(method, operation)| {
                    let id = operation["operationId"].as_str().unwrap();
                    (path.clone(), method.to_uppercase(), id.to_owned())
                })
            })
            .collect();
        let routed = TABLE.iter().flat_map(|route| {
            route.operations.iter().map(|(method, endpoint)| {
                (route.path.to_owned(), method.to_string(), endpoint.name().to_owned())
            })
        });
        assert_eq!(described, routed.collect());
    }

    #[test]
    fn every_reference_leads_somewhere() {
        fn walk<'v>(value: &'v Value, found: &mut Vec<&'v str>) {
            match value {
                Value::Object(members) => {
                    found.extend(members.get("$ref").and_then(Value::as_str));
                    members.values().for_each(|value| walk(value, found));
                }
                Value::Array(items) => items.iter().for_each(|value| walk(value, found)),
                _ => {}
            }
        }
        let document = document();
        let mut references = Vec::new();
        walk(&document, &mut references);
        assert!(references.len() > 100);
        for reference in references {
            let pointer = reference.strip_prefix('#').unwrap();
            assert!(document.pointer(pointer).is_some(), "{reference}");
        }
    }

    #[test]
    fn its_examples_of_queries_are_good_requests() {
        let document = document();
        let (rules, indicators) = (
            Rules::default(),
            crate::model::Indicators::new(["operating_income", "parent_holder_net_profit"]),
        );
        let reader = Reader { rules: &rules, indicators: &indicators };
        let mut seen = 0;
        for (path, methods) in document["paths"].as_object().unwrap() {
            let examples =
                &methods["post"]["requestBody"]["content"]["application/json"]["examples"];
            for example in examples.as_object().into_iter().flat_map(serde_json::Map::values) {
                let body = example["value"].to_string();
                let read = match methods["post"]["operationId"].as_str().unwrap() {
                    "snapshot" => reader.snapshot(body.as_bytes()).map(drop),
                    "period" => reader.period(body.as_bytes()).map(drop),
                    "selection_snapshot" => reader.selection_snapshot(body.as_bytes()).map(drop),
                    "selection_period" => reader.selection_period(body.as_bytes()).map(drop),
                    "register_indicators" => {
                        crate::api::records::register(body.as_bytes(), &rules).map(drop)
                    }
                    "save" => crate::api::records::save(Some("id=1"), body.as_bytes(), &rules, 0)
                        .map(drop),
                    "search" => crate::api::records::search(body.as_bytes(), &rules).map(drop),
                    other => panic!("{other} has an example that nobody checks"),
                };
                assert_eq!(read, Ok(()), "{path}: {body}");
                seen += 1;
            }
        }
        assert_eq!(seen, 9);
    }
}
