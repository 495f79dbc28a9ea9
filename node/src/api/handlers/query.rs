//! Snapshot and period, by subjects, topic or selection.

use std::fmt::Display;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode, request::Parts};

use super::{json_body, of_store};
use crate::{
    api::{
        app::App,
        failure::Failure,
        params::is_part,
        respond,
        service::{Answered, within},
        state::Core,
    },
    query::{Answer, CacheStatus, Part, QueryError},
};

const CACHE: HeaderName = HeaderName::from_static("x-kamaitachi-cache");

pub(in crate::api) async fn snapshot<B>(
    app: &App,
    head: &Parts,
    body: B,
) -> Result<Answered, Failure>
where
    B: http_body::Body<Data = Bytes, Error: Display>,
{
    let core = app.core_or_refuse()?;
    let body = json_body(app, head, body).await?;
    let query = app.reader(&core.store.indicators()).snapshot(&body)?;
    if is_part(&head.headers, &app.rules)? {
        return part(app, &core, Part::Snapshot(&query)).await;
    }
    finish(within(app.limits.handler, core.engine.snapshot(&query)).await?)
}

pub(in crate::api) async fn period<B>(app: &App, head: &Parts, body: B) -> Result<Answered, Failure>
where
    B: http_body::Body<Data = Bytes, Error: Display>,
{
    let core = app.core_or_refuse()?;
    let body = json_body(app, head, body).await?;
    let query = app.reader(&core.store.indicators()).period(&body)?;
    if is_part(&head.headers, &app.rules)? {
        return part(app, &core, Part::Period(&query)).await;
    }
    finish(within(app.limits.handler, core.engine.period(&query)).await?)
}

pub(in crate::api) async fn selection_snapshot<B>(
    app: &App,
    head: &Parts,
    body: B,
) -> Result<Answered, Failure>
where
    B: http_body::Body<Data = Bytes, Error: Display>,
{
    let core = app.core_or_refuse()?;
    let body = json_body(app, head, body).await?;
    let query = app.reader(&core.store.indicators()).selection_snapshot(&body)?;
    if is_part(&head.headers, &app.rules)? {
        return part(app, &core, Part::Snapshot(&query)).await;
    }
    finish(within(app.limits.handler, core.engine.snapshot(&query)).await?)
}

pub(in crate::api) async fn selection_period<B>(
    app: &App,
    head: &Parts,
    body: B,
) -> Result<Answered, Failure>
where
    B: http_body::Body<Data = Bytes, Error: Display>,
{
    let core = app.core_or_refuse()?;
    let body = json_body(app, head, body).await?;
    let (query, page) = app.reader(&core.store.indicators()).selection_period(&body)?;
    if is_part(&head.headers, &app.rules)? {
        return part(app, &core, Part::ByDate(&query, &page)).await;
    }
    finish(within(app.limits.handler, core.engine.period_by_date(&query, &page)).await?)
}

async fn part(app: &App, core: &Core, part: Part<'_>) -> Result<Answered, Failure> {
    // Boxed, so that it costs the others no room.
    finish(within(app.limits.handler, Box::pin(core.engine.part(part))).await?)
}

fn finish(result: Result<Answer, QueryError>) -> Result<Answered, Failure> {
    let answer = result.map_err(|error| of_query(&error))?;
    let mut response = respond::json(StatusCode::OK, answer.body);
    let from = match answer.cache {
        CacheStatus::Hit => const { HeaderValue::from_static("hit") },
        CacheStatus::Partial => const { HeaderValue::from_static("partial") },
        CacheStatus::Miss => const { HeaderValue::from_static("miss") },
    };
    response.headers_mut().insert(CACHE, from);
    Ok(Answered { response, revision: Some(answer.revision) })
}

fn of_query(error: &QueryError) -> Failure {
    match error {
        QueryError::Storage(error) => of_store(error),
        QueryError::Abandoned => Failure::Busy("the read of the store was abandoned; try again"),
        QueryError::Unsettled => Failure::Busy("topics or tags keep changing; try again"),
    }
}
