//! Rows and indicators on their way in.

use std::{
    fmt::Display,
    io::{self, BufReader},
    sync::Arc,
};

use bytes::Bytes;
use http::request::Parts;
use serde::Serialize;
use tokio::sync::SemaphorePermit;

use super::{json_body, of_store};
use crate::{
    api::{
        app::{App, BULK_UNIT},
        body::{self, Overflow, Packing, Unpacked},
        failure::Failure,
        params, records,
        respond::Envelope,
        service::{Answered, within},
    },
    model,
    store::rows::{BadRows, Format, Refused, RowBatch, RowReader},
};

#[derive(Serialize)]
struct Ingested {
    rows: usize,
    revision: u64,
}

pub(in crate::api) async fn ingest<B>(app: &App, head: &Parts, body: B) -> Result<Answered, Failure>
where
    B: http_body::Body<Data = Bytes, Error: Display>,
{
    app.expect_master()?;
    let core = app.core_or_refuse()?;
    let create = params::flag(head.uri.query(), "create_indicators")?;
    let format = body::rows_format(&head.headers)?;
    let packing = body::packing(&head.headers)?;
    let _held = hold(app, &body, packing).await?;
    let limit = app.limits.ingest_body;
    let body = body::read(&head.headers, body, limit).await?;
    let known = core.store.indicators();
    let parsing = tokio::task::spawn_blocking(move || {
        let text = Unpacked::new(body, packing, limit);
        parse(text, format, &known, create)
    });
    let batch = parsing.await.map_err(|error| {
        tracing::error!(%error, "parsing a bulk body failed");
        Failure::Internal
    })??;
    let written = core.store.ingest(batch, create).await.map_err(|error| of_store(&error))?;
    let response =
        Envelope::Data.success(&Ingested { rows: written.value, revision: written.revision });
    Ok(Answered { response, revision: Some(written.revision) })
}

/// Waits until the memory this body may take is free, and takes it.
async fn hold<'a, B>(
    app: &'a App,
    body: &B,
    packing: Packing,
) -> Result<SemaphorePermit<'a>, Failure>
where
    B: http_body::Body,
{
    let most = app.limits.ingest_body;
    let declared = body.size_hint().upper().filter(|_| packing == Packing::Plain);
    let units = declared.unwrap_or(most).min(most).div_ceil(BULK_UNIT);
    let units = u32::try_from(units).unwrap_or(u32::MAX);
    let held = within(app.limits.handler, app.bulk.acquire_many(units)).await;
    let busy = Failure::Busy("too many bulk writes are under way; try again");
    held.ok().and_then(Result::ok).ok_or(busy)
}

/// The rows, with indicators that are `known` or may be created.
fn parse(
    text: Unpacked,
    format: Format,
    known: &model::Indicators,
    create: bool,
) -> Result<RowBatch, Failure> {
    let text = BufReader::with_capacity(1 << 16, text);
    let rows = RowReader::new(format, text).batch_for(usize::MAX, known, create);
    rows.map_err(|refused| match refused {
        Refused::Rows(BadRows::Read(error)) => of_unpacking(&error),
        Refused::Rows(error) => Failure::bad(error.to_string()),
        Refused::Name(error) => of_store(&error),
    })
}

fn of_unpacking(error: &io::Error) -> Failure {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<Overflow>()) {
        Some(Overflow { limit }) => Failure::TooLarge { limit: *limit },
        None => Failure::bad("body is not valid gzip: it is damaged or cut short"),
    }
}

#[derive(Serialize)]
struct Indicators<'a> {
    indicators: &'a [Arc<str>],
}

pub(in crate::api) fn list_indicators(app: &App) -> Result<Answered, Failure> {
    let core = app.core_or_refuse()?;
    let store = &core.store;
    let indicators = store.indicators();
    let response = Envelope::Data.success(&Indicators { indicators: indicators.names() });
    Ok(Answered { response, revision: Some(store.revision()) })
}

#[derive(Serialize)]
struct Registered<'a> {
    indicators: &'a [Arc<str>],
    added: Vec<String>,
    revision: u64,
}

pub(in crate::api) async fn register_indicators<B>(
    app: &App,
    head: &Parts,
    body: B,
) -> Result<Answered, Failure>
where
    B: http_body::Body<Data = Bytes, Error: Display>,
{
    app.expect_master()?;
    let core = app.core_or_refuse()?;
    let store = &core.store;
    let body = json_body(app, head, body).await?;
    let names = records::register(&body, &app.rules)?;
    let before = store.indicators();
    let mut added = names.clone();
    added.retain(|name| before.id(name).is_none());
    let written = store.register_indicators(names).await.map_err(|error| of_store(&error))?;
    let response = Envelope::Data.success(&Registered {
        indicators: store.indicators().names(),
        added,
        revision: written.revision,
    });
    Ok(Answered { response, revision: Some(written.revision) })
}
