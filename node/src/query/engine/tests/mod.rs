//! The engine over a store that can be held up.

mod knowing;
mod load;
mod model;
mod races;
mod restart;
mod stress;

use super::Engine;
use crate::{
    cache::CacheLimits,
    query::{
        PeriodQuery, Scope, Selection, SnapshotQuery,
        testing::{Mock, World, by_subject, ids},
    },
    store::Touched,
};

fn engine(mock: &Mock) -> Engine<Mock> {
    let engine = Engine::new(mock.clone(), CacheLimits::default());
    mock.observe(engine.observer());
    engine
}

/// Twelve subjects with quarters 0 to 29, in topics `even` and `all`, tagged by the last digit.
fn world() -> World {
    let mut world = World::default();
    for i in 0..12_u16 {
        let subject = format!("33:{i:06}");
        for date in 0..30 {
            let value = |id: u16| {
                ((date + i64::from(id + i)) % 5 != 0)
                    .then(|| date as f64 * f64::from(i) + f64::from(id) / 8.0)
            };
            world.put(&subject, date, &[(0, value(0)), (1, value(1)), (2, value(2))]);
        }
        world.topics.entry("all".into()).or_default().insert(subject.clone());
        if i % 2 == 0 {
            world.topics.entry("even".into()).or_default().insert(subject.clone());
        }
        let tags = world.tags.entry("concept".into()).or_default();
        tags.insert((subject.clone(), format!("Digit {}", i % 3)));
        tags.insert((subject, "Ünited".into()));
    }
    world
}

fn subjects(of: &[&str]) -> Scope {
    Scope::Subjects(of.iter().collect())
}

fn snapshot(scope: Scope, of: &[u16]) -> SnapshotQuery {
    SnapshotQuery { indicators: ids(of), scope, page: by_subject(), at: None }
}

fn period(scope: Scope, of: &[u16], from: i64, to: i64) -> PeriodQuery {
    PeriodQuery { indicators: ids(of), scope, from, to }
}

fn selection(keyword: &str) -> Selection {
    Selection { id: "concept".into(), topic: "all".into(), keyword: keyword.into(), subjects: None }
}

fn touching(subjects: &[&str]) -> Touched {
    Touched { subjects: subjects.iter().map(|s| (*s).into()).collect(), membership: false }
}
