//! The order of a stack in words, read off the stack itself.

use std::fmt::Debug;

/// The names of the layers in `builder`, outermost first: `RateLimit → Key → Retry`.
///
/// A `ServiceBuilder` lists its layers in its debug form, each by its type; what is optional and left out is not there.
/// So this says what was composed, not what somebody meant to compose.
#[must_use]
pub fn order(builder: &impl Debug) -> String {
    let text = format!("{builder:?}");
    let words = text.split(|c: char| !c.is_alphanumeric());
    let names = words.filter_map(|word| word.strip_suffix("Layer"));
    names.filter(|name| !name.is_empty()).collect::<Vec<_>>().join(" → ")
}

#[cfg(test)]
mod tests {
    use tower::{
        ServiceBuilder,
        limit::ConcurrencyLimitLayer,
        util::{MapErrLayer, MapRequestLayer},
    };

    use super::*;

    #[test]
    fn names_what_is_there_and_not_what_is_left_out() {
        fn same(request: u8) -> u8 {
            request
        }
        let layers = ServiceBuilder::new()
            .layer(MapRequestLayer::new(same as fn(u8) -> u8))
            .option_layer(None::<MapErrLayer<fn(u8) -> u8>>)
            .option_layer(Some(ConcurrencyLimitLayer::new(1)));
        assert_eq!(order(&layers), "MapRequest → ConcurrencyLimit");
    }
}
