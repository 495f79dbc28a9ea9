//! How the node does: counters, readiness, metrics, the description of the API.

use http::{HeaderValue, Response, StatusCode, header, request::Parts};
use kamaitachi_serve::exposition::Exposition;
use serde::Serialize;

use crate::{
    api::{
        app::App,
        failure::Failure,
        openapi::OPENAPI,
        params,
        respond::{self, Body, Envelope},
        service::Answered,
        state::Check,
    },
    query,
    replication::Report,
};

#[derive(Serialize)]
struct Stats<'a> {
    total_records: u64,
    stock_count: u64,
    revision: u64,
    cache: query::Stats,
    indicators: usize,
    service_addr: &'a str,
    mode: &'static str,
    version: &'static str,
    uptime_seconds: u64,
    /// Absent where the node registers itself nowhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    registered: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    replication: Option<Report>,
}

pub(in crate::api) fn stats(app: &App) -> Result<Answered, Failure> {
    let core = app.core_or_refuse()?;
    let totals = core.store.totals();
    let revision = core.store.revision();
    let response = Envelope::Data.success(&Stats {
        total_records: totals.records,
        stock_count: totals.subjects,
        revision,
        cache: core.engine.stats(),
        indicators: core.store.indicators().len(),
        service_addr: &app.addr,
        mode: app.role.name(),
        version: env!("CARGO_PKG_VERSION"),
        uptime_seconds: app.state().uptime(),
        registered: app.state().standing().map(|standing| standing.registered),
        replication: app.state().replication().map(|part| part.report(revision)),
    });
    Ok(Answered { response, revision: Some(revision) })
}

pub(in crate::api) fn cache_reset(app: &App, head: &Parts) -> Result<Answered, Failure> {
    let core = app.core_or_refuse()?;
    let clear = params::flag(head.uri.query(), "clear")?;
    core.engine.reset(clear);
    tracing::info!(clear, "the counters of the cache were reset");
    let response = Envelope::Data.success(&());
    Ok(Answered { response, revision: Some(core.store.revision()) })
}

pub(in crate::api) fn alive() -> Response<Body> {
    respond::json(StatusCode::OK, &br#"{"status":"ok"}"#[..])
}

#[derive(Serialize)]
struct Readiness {
    status: &'static str,
    checks: Vec<Check>,
}

pub(in crate::api) fn ready(app: &App) -> Result<Answered, Failure> {
    let (ready, checks) = app.state().checks();
    let (code, status) = if ready {
        (StatusCode::OK, "ready")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "not ready")
    };
    let body = serde_json::to_vec(&Readiness { status, checks }).map_err(|error| {
        tracing::error!(%error, "an answer could not be written as JSON");
        Failure::Internal
    })?;
    let mut response = respond::json(code, body);
    if !ready {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    Ok(response.into())
}

pub(in crate::api) fn metrics(app: &App, head: &Parts) -> Result<Answered, Failure> {
    let format = Exposition::of_accept(head.headers.get(header::ACCEPT));
    let text = format.render(&app.registry).map_err(|_| Failure::Internal)?;
    Ok(respond::metrics(format, text).into())
}

pub(in crate::api) fn openapi() -> Response<Body> {
    respond::json(StatusCode::OK, OPENAPI)
}
