//! The four scenarios as streams of requests.

use rand::{RngExt, SeedableRng, rngs::StdRng, seq::index::sample};
use rand_distr::{Distribution, Zipf};
use serde::Serialize;

/// The subjects that requests are made of.
pub const SUBJECTS: [&str; 8] = [
    "33:00000009",
    "33:00000010",
    "33:00000011",
    "33:00000012",
    "33:00000013",
    "33:00000014",
    "33:00000015",
    "33:00000016",
];

/// The indicators that requests are made of.
pub const INDICATORS: [&str; 6] = [
    "operating_income",
    "parent_holder_net_profit",
    "total_operating_cost",
    "net_profit",
    "operating_profit",
    "total_profit",
];

/// The date of scenario 4, epoch seconds: 2023-09-30 UTC.
pub const DATE: i64 = 1_696_032_000;

/// Where queries go, below a base URL.
pub const SNAPSHOT: &str = "/kamaitachi/api/data/v1/snapshot";

/// One snapshot query, as it is sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Query {
    /// Indicators asked for, each once.
    pub ids: Vec<&'static str>,
    /// Subjects asked for; scenario 3 may repeat some.
    pub subjects: Vec<&'static str>,
    /// The field to sort by.
    pub field: &'static str,
    /// -1 newest or largest first.
    pub order: i8,
    /// Rows skipped.
    pub offset: u32,
    /// Rows at the most.
    pub limit: u32,
    /// Only rows up to this moment, epoch seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timestamp: Option<i64>,
}

/// Makes the requests of one scenario; the same seed makes the same ones.
#[derive(Debug)]
pub struct Generator {
    scenario: u8,
    random: StdRng,
    zipf: Option<Zipf<f64>>,
}

impl Generator {
    /// A generator for `scenario` (1 to 4); `zipf` is the exponent for choosing subjects.
    #[must_use]
    pub fn new(scenario: u8, seed: u64, zipf: Option<f64>) -> Self {
        let ranks = 8.0; // SUBJECTS.len()
        let zipf = zipf.and_then(|exponent| Zipf::new(ranks, exponent).ok());
        Self { scenario, random: StdRng::seed_from_u64(seed), zipf }
    }

    /// The next request.
    pub fn query(&mut self) -> Query {
        let (indicators, subjects, limit) = match self.scenario {
            1 => (3, self.distinct(2), 20),
            2 => (2, self.distinct(1), 8),
            3 => (4, self.some(50), 20),
            _ => (3, self.distinct(3), 10),
        };
        Query {
            ids: sample(&mut self.random, INDICATORS.len(), indicators)
                .into_iter()
                .map(|i| INDICATORS[i])
                .collect(),
            subjects,
            field: if self.scenario == 1 { "report_date" } else { "operating_income" },
            order: -1,
            offset: 0,
            limit,
            timestamp: (self.scenario == 4).then_some(DATE),
        }
    }

    fn distinct(&mut self, count: usize) -> Vec<&'static str> {
        let mut chosen = Vec::with_capacity(count);
        while chosen.len() < count {
            let subject = self.subject();
            if !chosen.contains(&subject) {
                chosen.push(subject);
            }
        }
        chosen
    }

    fn some(&mut self, most: usize) -> Vec<&'static str> {
        let count = self.random.random_range(1..=most);
        (0..count).map(|_| self.subject()).collect()
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "Zipf's ranks are the whole numbers 1 to 8"
    )]
    fn subject(&mut self) -> &'static str {
        let rank = match self.zipf {
            Some(zipf) => zipf.sample(&mut self.random) as usize - 1,
            None => self.random.random_range(0..SUBJECTS.len()),
        };
        SUBJECTS[rank.min(SUBJECTS.len() - 1)]
    }
}

/// The requests of a run, in order: `unique` different ones, then the same again and again.
#[derive(Clone, Debug)]
pub struct Workload {
    /// The different requests.
    pub queries: Vec<Query>,
    /// Their bodies.
    pub bodies: Vec<bytes::Bytes>,
}

impl Workload {
    /// Makes `requests / repeat` requests (at least one).
    #[must_use]
    pub fn new(generator: &mut Generator, requests: u64, repeat: u64) -> Self {
        let unique = requests.div_ceil(repeat.max(1)).clamp(1, 10_000_000);
        let queries: Vec<Query> = (0..unique).map(|_| generator.query()).collect();
        let bodies = queries.iter().map(|query| body(query).into()).collect();
        Self { queries, bodies }
    }

    /// The index of the `n`-th request sent.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "below the length of a Vec")]
    pub fn index(&self, n: u64) -> usize {
        (n % self.queries.len() as u64) as usize
    }
}

fn body(query: &Query) -> Vec<u8> {
    serde_json::to_vec(query).expect("a struct of texts and numbers is JSON")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scenarios_have_the_documented_shapes() {
        for (scenario, indicators, subjects, limit) in
            [(1, 3, 2..=2, 20), (2, 2, 1..=1, 8), (3, 4, 1..=50, 20), (4, 3, 3..=3, 10)]
        {
            let mut generator = Generator::new(scenario, 7, None);
            for _ in 0..500 {
                let query = generator.query();
                assert_eq!(query.ids.len(), indicators);
                assert!(subjects.contains(&query.subjects.len()));
                assert_eq!(query.limit, limit);
                assert_eq!(query.timestamp.is_some(), scenario == 4);
            }
        }
    }

    #[test]
    fn a_seed_fixes_the_requests_and_another_changes_them() {
        let make = |seed| Workload::new(&mut Generator::new(3, seed, Some(1.2)), 100, 1).queries;
        assert_eq!(make(1), make(1));
        assert_ne!(make(1), make(2));
    }

    #[test]
    fn zipf_prefers_the_first_subject() {
        let mut generator = Generator::new(2, 1, Some(1.5));
        let first = (0..1000).filter(|_| generator.query().subjects[0] == SUBJECTS[0]).count();
        assert!(first > 350, "{first} of 1000");
    }

    #[test]
    fn repeat_divides_the_requests_into_rounds() {
        let workload = Workload::new(&mut Generator::new(1, 1, None), 100, 10);
        assert_eq!(workload.queries.len(), 10);
        assert_eq!(workload.index(0), workload.index(10));
    }
}
