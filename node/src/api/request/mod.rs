//! Bodies of the query endpoints, from bytes to typed queries: every rule of the API in one place.

use std::borrow::Cow;

use super::{
    failure::Failure,
    fields::{each_name, integer, refuse, text},
    json::{self, Given, Quoted},
};
use crate::{
    model::{Epoch, IndicatorId, Indicators},
    query::{
        IndicatorList, Order, Page, PeriodQuery, Scope, Selection, SnapshotQuery, SortField,
        SubjectList,
    },
};

/// The numbers behind the rules. [`Rules::default`] is what the API documents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Levels that arrays and objects may nest. Default 64.
    pub max_depth: u8,
    /// Distinct subjects of one request. Default 10,000.
    pub max_subjects: usize,
    /// Bytes of one name: a subject, topic, keyword or id. Default 256.
    pub max_name: usize,
    /// Rows of an answer where `limit` is 0 or absent. Default 10.
    pub default_limit: usize,
    /// The largest `limit`. Default 10,000.
    pub max_limit: usize,
    /// Indicators of an answer where `ids` is empty or absent.
    pub default_ids: Vec<String>,
    /// What answers are sorted by where `field` is empty or absent.
    pub default_field: String,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            max_depth: json::MAX_DEPTH,
            max_subjects: 10_000,
            max_name: 256,
            default_limit: 10,
            max_limit: 10_000,
            default_ids: vec!["operating_income".into(), "parent_holder_net_profit".into()],
            default_field: "operating_income".into(),
        }
    }
}

/// Reads request bodies by some rules, for a store with some indicators.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'r> {
    /// The rules.
    pub rules: &'r Rules,
    /// The indicators that exist.
    pub indicators: &'r Indicators,
}

impl Reader<'_> {
    /// The body of a snapshot request.
    ///
    /// # Errors
    /// [`Failure::BadRequest`] for the first rule it breaks.
    pub fn snapshot(&self, body: &[u8]) -> Result<SnapshotQuery, Failure> {
        const FIELDS: [&str; 9] = [
            "ids",
            "subjects",
            "topic",
            "field",
            "order",
            "offset",
            "limit",
            "timestamp",
            "method",
        ];
        let [ids, subjects, topic, field, order, offset, limit, timestamp, method] =
            json::read_object(body, &FIELDS, self.rules.max_depth)?;
        check_method(method)?;
        Ok(SnapshotQuery {
            indicators: self.indicators_or_default(&ids)?,
            scope: self.scope(&subjects, topic)?,
            page: self.page(field, &order, &offset, &limit)?,
            at: moment("timestamp", &timestamp)?.filter(|at| *at != 0),
        })
    }

    /// The body of a period request.
    ///
    /// # Errors
    /// [`Failure::BadRequest`] for the first rule it breaks.
    pub fn period(&self, body: &[u8]) -> Result<PeriodQuery, Failure> {
        const FIELDS: [&str; 6] = ["ids", "subjects", "topic", "from", "to", "method"];
        let [ids, subjects, topic, from, to, method] =
            json::read_object(body, &FIELDS, self.rules.max_depth)?;
        check_method(method)?;
        let (from, to) = range(&from, &to)?;
        Ok(PeriodQuery {
            indicators: self.indicators_or_default(&ids)?,
            scope: self.scope(&subjects, topic)?,
            from,
            to,
        })
    }

    /// The body of a snapshot request over a selection.
    ///
    /// # Errors
    /// [`Failure::BadRequest`] for the first rule it breaks.
    pub fn selection_snapshot(&self, body: &[u8]) -> Result<SnapshotQuery, Failure> {
        const FIELDS: [&str; 7] =
            ["selection", "ids", "field", "order", "offset", "limit", "timestamp"];
        let [selection, ids, field, order, offset, limit, timestamp] =
            json::read_object(body, &FIELDS, self.rules.max_depth)?;
        Ok(SnapshotQuery {
            scope: Scope::Selection(self.selection(selection)?),
            indicators: self.indicators_required(&ids)?,
            page: self.page(field, &order, &offset, &limit)?,
            at: moment("timestamp", &timestamp)?.filter(|at| *at != 0),
        })
    }

    /// The body of a period request over a selection.
    ///
    /// # Errors
    /// [`Failure::BadRequest`] for the first rule it breaks.
    pub fn selection_period(&self, body: &[u8]) -> Result<(PeriodQuery, Page), Failure> {
        const FIELDS: [&str; 8] =
            ["selection", "ids", "field", "order", "offset", "limit", "from", "to"];
        let [selection, ids, field, order, offset, limit, from, to] =
            json::read_object(body, &FIELDS, self.rules.max_depth)?;
        let scope = Scope::Selection(self.selection(selection)?);
        let indicators = self.indicators_required(&ids)?;
        let (from, to) = range(&from, &to)?;
        let page = self.page(field, &order, &offset, &limit)?;
        Ok((PeriodQuery { indicators, scope, from, to }, page))
    }

    fn indicators_or_default(&self, ids: &Given<'_>) -> Result<IndicatorList, Failure> {
        let list = self.indicators(ids)?;
        if !list.is_empty() {
            return Ok(list);
        }
        self.rules.default_ids.iter().map(|name| self.indicator("ids", name)).collect()
    }

    fn indicators_required(&self, ids: &Given<'_>) -> Result<IndicatorList, Failure> {
        let list = self.indicators(ids)?;
        if list.is_empty() {
            return Err(Failure::bad("field `ids` is required: expected at least one indicator"));
        }
        Ok(list)
    }

    fn indicators(&self, ids: &Given<'_>) -> Result<IndicatorList, Failure> {
        let mut list = IndicatorList::new();
        each_name("ids", ids, usize::MAX, |name| {
            let id = self.indicator("ids", name)?;
            if !list.contains(&id) {
                list.push(id);
            }
            Ok(())
        })?;
        Ok(list)
    }

    fn indicator(&self, field: &str, name: &str) -> Result<IndicatorId, Failure> {
        self.indicators.id(name).ok_or_else(|| {
            Failure::bad(format!(
                "field `{field}`: unknown indicator \"{}\", expected one of those that GET \
                 /kamaitachi/api/data/v1/indicators lists",
                Quoted(name)
            ))
        })
    }

    fn scope(&self, subjects: &Given<'_>, topic: Given<'_>) -> Result<Scope, Failure> {
        let subjects = self.subjects("subjects", subjects)?;
        match (text("topic", topic, self.rules.max_name)?, subjects.is_empty()) {
            (None, false) => Ok(Scope::Subjects(subjects)),
            (Some(topic), true) => Ok(Scope::Topic(topic.into_owned())),
            (Some(topic), false) => Ok(Scope::TopicAnd(topic.into_owned(), subjects)),
            (None, true) => Err(Failure::bad(
                "fields `subjects` and `topic` are both empty: expected at least one of them",
            )),
        }
    }

    fn subjects(&self, field: &str, given: &Given<'_>) -> Result<SubjectList, Failure> {
        let max = self.rules.max_subjects;
        let mut list = SubjectList::new();
        each_name(field, given, self.rules.max_name, |name| {
            list.push(name);
            if list.len() > max {
                return Err(Failure::bad(format!(
                    "field `{field}`: got more than {max} subjects, expected at most {max}"
                )));
            }
            Ok(())
        })?;
        Ok(list)
    }

    fn page(
        &self,
        field: Given<'_>,
        order: &Given<'_>,
        offset: &Given<'_>,
        limit: &Given<'_>,
    ) -> Result<Page, Failure> {
        Ok(Page {
            field: self.sort_field(field)?,
            order: check_order(order)?,
            offset: check_offset(offset)?,
            limit: check_limit(limit, self.rules)?,
        })
    }

    fn sort_field(&self, given: Given<'_>) -> Result<SortField, Failure> {
        let given = text("field", given, usize::MAX)?;
        Ok(match given.as_deref().unwrap_or(&self.rules.default_field) {
            "report_date" => SortField::ReportDate,
            "end_date" => SortField::EndDate,
            "year" => SortField::Year,
            "subject" => SortField::Subject,
            name => SortField::Indicator(self.indicators.id(name).ok_or_else(|| {
                Failure::bad(format!(
                    "field `field`: got \"{}\", expected an indicator, report_date, end_date, \
                     year or subject",
                    Quoted(name)
                ))
            })?),
        })
    }

    fn selection(&self, given: Given<'_>) -> Result<Selection, Failure> {
        const EXPECTED: &str = "an object with `id` and `topic`";
        let Given::Map(members) = given else {
            return Err(refuse("selection", &given, EXPECTED));
        };
        let [mut id, mut topic, mut subject, mut keyword] = [const { Given::Absent }; 4];
        for (key, value) in members {
            match key.as_ref() {
                "id" => id = value,
                "topic" => topic = value,
                "subject" => subject = value,
                "keyword" => keyword = value,
                _ => {}
            }
        }
        let required = |field: &'static str, given| {
            text(field, given, self.rules.max_name)?
                .map(Cow::into_owned)
                .ok_or_else(|| Failure::bad(format!("field `{field}` is required")))
        };
        let subjects = self.subjects("selection.subject", &subject)?;
        Ok(Selection {
            id: required("selection.id", id)?,
            topic: required("selection.topic", topic)?,
            keyword: text("selection.keyword", keyword, self.rules.max_name)?
                .map_or_else(String::new, Cow::into_owned),
            subjects: (!subjects.is_empty()).then_some(subjects),
        })
    }
}

fn check_method(given: Given<'_>) -> Result<(), Failure> {
    match text("method", given, usize::MAX)?.as_deref() {
        None | Some("market:code") => Ok(()),
        Some(other) => Err(Failure::bad(format!(
            "field `method`: got \"{}\", expected \"market:code\"",
            Quoted(other)
        ))),
    }
}

fn check_order(given: &Given<'_>) -> Result<Order, Failure> {
    match given {
        Given::Absent | Given::Null | Given::Integer(-1 | 0) => Ok(Order::Descending),
        Given::Integer(1) => Ok(Order::Ascending),
        Given::Text(text) if matches!(text.as_ref(), "" | "-1") => Ok(Order::Descending),
        Given::Text(text) if text.eq_ignore_ascii_case("desc") => Ok(Order::Descending),
        Given::Text(text) if text == "1" || text.eq_ignore_ascii_case("asc") => {
            Ok(Order::Ascending)
        }
        given => Err(refuse("order", given, "-1, 1, \"asc\" or \"desc\"")),
    }
}

/// The field `offset`.
///
/// # Errors
/// If it is given and no integer from 0 up.
pub fn check_offset(given: &Given<'_>) -> Result<usize, Failure> {
    let offset = integer("offset", given, 0..=i64::MAX, "an integer from 0 up")?;
    Ok(offset.map_or(0, |offset| usize::try_from(offset).unwrap_or(usize::MAX)))
}

/// The field `limit`.
///
/// # Errors
/// If it is given and no integer from 0 to the largest limit.
pub fn check_limit(given: &Given<'_>, rules: &Rules) -> Result<usize, Failure> {
    match given {
        Given::Absent | Given::Null | Given::Integer(0) => return Ok(rules.default_limit),
        Given::Integer(limit) => {
            if let Some(limit) = usize::try_from(*limit).ok().filter(|n| *n <= rules.max_limit) {
                return Ok(limit);
            }
        }
        _ => {}
    }
    let expected = format!(
        "an integer from 1 to {}, or 0 for the default {}",
        rules.max_limit, rules.default_limit
    );
    Err(refuse("limit", given, &expected))
}

/// A field that holds epoch seconds.
///
/// # Errors
/// If it is given and no integer.
pub fn moment(field: &str, given: &Given<'_>) -> Result<Option<Epoch>, Failure> {
    integer(field, given, i64::MIN..=i64::MAX, "epoch seconds as an integer")
}

fn range(from: &Given<'_>, to: &Given<'_>) -> Result<(Epoch, Epoch), Failure> {
    let required = |field, given| {
        moment(field, given)?.ok_or_else(|| refuse(field, given, "epoch seconds as an integer"))
    };
    let (from, to) = (required("from", from)?, required("to", to)?);
    if from > to {
        return Err(Failure::bad(format!(
            "field `from`: got {from}, expected at most `to`, which is {to}"
        )));
    }
    Ok((from, to))
}

#[cfg(test)]
mod tests;
