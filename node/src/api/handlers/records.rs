//! The records of data management.

use std::fmt::Display;

use bytes::Bytes;
use http::request::Parts;

use super::{json_body, now, of_store};
use crate::{
    api::{
        app::App,
        failure::Failure,
        params,
        records::{self, Record},
        respond::Envelope,
        service::{Answered, within},
    },
    model::Revision,
};

fn saved(revision: Revision) -> Answered {
    Answered { response: Envelope::Manage.success(&true), revision: Some(revision) }
}

pub(in crate::api) async fn save<B>(app: &App, head: &Parts, body: B) -> Result<Answered, Failure>
where
    B: http_body::Body<Data = Bytes, Error: Display>,
{
    app.expect_master()?;
    let core = app.core_or_refuse()?;
    let store = &core.store;
    let body = json_body(app, head, body).await?;
    let save = records::save(head.uri.query(), &body, &app.rules, now())?;
    let written = store.data_save(save).await.map_err(|error| of_store(&error))?;
    Ok(saved(written.revision))
}

pub(in crate::api) async fn get(app: &App, head: &Parts, id: &str) -> Result<Answered, Failure> {
    let core = app.core_or_refuse()?;
    let store = &core.store;
    let id = params::path_id(id, app.rules.max_name)?;
    let table = records::table(head.uri.query(), "tableId")?;
    let revision = store.revision();
    let found = within(app.limits.handler, store.data_get(table, &id)).await?;
    let found = found.map_err(|error| of_store(&error))?;
    let found = found
        .ok_or_else(|| Failure::NotFound(format!("there is no {}", Record(table, id)).into()))?;
    Ok(Answered { response: Envelope::Manage.success(&found), revision: Some(revision) })
}

pub(in crate::api) async fn search<B>(app: &App, head: &Parts, body: B) -> Result<Answered, Failure>
where
    B: http_body::Body<Data = Bytes, Error: Display>,
{
    let core = app.core_or_refuse()?;
    let store = &core.store;
    let body = json_body(app, head, body).await?;
    let mut search = records::search(&body, &app.rules)?;
    let page = records::PartPage { offset: search.offset, limit: search.limit };
    let is_part = params::is_part(&head.headers, &app.rules)?;
    if is_part {
        search.limit = search.limit.saturating_add(search.offset);
        search.offset = 0;
    }
    let revision = store.revision();
    let found = within(app.limits.handler, store.data_search(search)).await?;
    let found = found.map_err(|error| of_store(&error))?;
    let response = if is_part {
        Envelope::Manage.success_of_part(&found, &page.about(&found))
    } else {
        Envelope::Manage.success(&found)
    };
    Ok(Answered { response, revision: Some(revision) })
}

pub(in crate::api) async fn delete(app: &App, head: &Parts, id: &str) -> Result<Answered, Failure> {
    app.expect_master()?;
    let core = app.core_or_refuse()?;
    let store = &core.store;
    let id = params::path_id(id, app.rules.max_name)?;
    let table = records::table(head.uri.query(), "tableId")?;
    let written = store.data_delete(table, &id).await.map_err(|error| of_store(&error))?;
    Ok(saved(written.revision))
}
