//! Data management in SQL.

use std::collections::BTreeSet;

use rusqlite::{CachedStatement, OptionalExtension, params, types::Type};
use serde_json::value::RawValue;

use super::{DataInfo, DataPage, DataSave, DataSearch, DataTable, Points, SaveMode};
use crate::{
    model::Epoch,
    store::{
        StoreError,
        dates::date_time,
        job::Writing,
        log, members,
        reader::{Reader, snapshot},
    },
};

/// Upserts a series.
pub(in crate::store) fn save(writing: &mut Writing<'_>, save: &DataSave) -> Result<(), StoreError> {
    let conn = writing.conn;
    let (table, id) = (save.table.number(), &save.id);
    let created = save.create_time.clone().unwrap_or_else(|| date_time(save.now));
    let created: String = conn
        .prepare_cached(
            "INSERT INTO data_info (table_id, id, create_time, update_time) \
             VALUES (?1, ?2, ?3, ?4) ON CONFLICT (table_id, id) DO UPDATE SET update_time = ?4 \
             RETURNING create_time",
        )?
        .query_row(params![table, id, created, save.now], |row| row.get(0))?;
    let replaces = save.mode == SaveMode::Replace;
    log::series_saved(writing, save, &created, replaces);
    if replaces {
        conn.prepare_cached("DELETE FROM data_points WHERE table_id = ?1 AND id = ?2")?
            .execute(params![table, id])?;
    }
    let mut insert = conn.prepare_cached(
        "INSERT OR REPLACE INTO data_points (table_id, id, at, point) VALUES (?1, ?2, ?3, ?4)",
    )?;
    for (at, point) in &save.points {
        insert.execute(params![table, id, at, point.get()])?;
    }
    Ok(())
}

/// Removes a series; answers whether it was there.
pub(in crate::store) fn delete(
    writing: &mut Writing<'_>,
    table: DataTable,
    id: &str,
) -> Result<bool, StoreError> {
    log::series_gone(writing, table, id);
    let key = params![table.number(), id];
    let conn = writing.conn;
    conn.prepare_cached("DELETE FROM data_points WHERE table_id = ?1 AND id = ?2")?.execute(key)?;
    let gone = conn
        .prepare_cached("DELETE FROM data_info WHERE table_id = ?1 AND id = ?2")?
        .execute(key)?;
    Ok(gone > 0)
}

/// A whole series.
pub(in crate::store) fn get(
    reader: &Reader,
    table: DataTable,
    id: &str,
) -> Result<Option<DataInfo>, StoreError> {
    let (transaction, _) = snapshot(&reader.conn)?;
    Series::new(&transaction, table)?.load(id, i64::MIN, i64::MAX)
}

/// The series with points in a range.
pub(in crate::store) fn search(
    reader: &Reader,
    search: &DataSearch,
    gone: &dyn Fn() -> bool,
) -> Result<DataPage, StoreError> {
    let (transaction, _) = snapshot(&reader.conn)?;
    let table = search.table.number();
    let ids: BTreeSet<String> = if search.ids.is_empty() {
        let sql = "SELECT id FROM data_info WHERE table_id = ?1";
        members::list(&transaction, sql, [table])?.iter().map(ToString::to_string).collect()
    } else {
        search.ids.iter().cloned().collect()
    };
    let mut exists = transaction.prepare_cached(
        "SELECT 1 FROM data_points WHERE table_id = ?1 AND id = ?2 AND at BETWEEN ?3 AND ?4 LIMIT 1",
    )?;
    let mut found = Vec::new();
    for id in ids {
        if gone() {
            return Err(StoreError::Closed);
        }
        if exists.exists(params![table, id, search.start, search.end])? {
            found.push(id);
        }
    }
    let count = found.len() as u64;
    let mut series = Series::new(&transaction, search.table)?;
    let mut rows = Vec::new();
    for id in found.into_iter().skip(search.offset).take(search.limit) {
        rows.extend(series.load(&id, search.start, search.end)?);
    }
    Ok(DataPage { rows, count })
}

/// Loads series of one table.
struct Series<'c> {
    table: DataTable,
    info: CachedStatement<'c>,
    points: CachedStatement<'c>,
}

impl<'c> Series<'c> {
    fn new(conn: &'c rusqlite::Connection, table: DataTable) -> rusqlite::Result<Self> {
        let info = "SELECT create_time, update_time FROM data_info WHERE table_id = ?1 AND id = ?2";
        let points = "SELECT at, point FROM data_points \
                      WHERE table_id = ?1 AND id = ?2 AND at BETWEEN ?3 AND ?4";
        let (info, points) = (conn.prepare_cached(info)?, conn.prepare_cached(points)?);
        Ok(Self { table, info, points })
    }

    fn load(&mut self, id: &str, from: Epoch, to: Epoch) -> Result<Option<DataInfo>, StoreError> {
        let table = self.table.number();
        let times = self.info.query_row(params![table, id], |row| Ok((row.get(0)?, row.get(1)?)));
        let Some((create_time, update_time)) = times.optional()? else {
            return Ok(None);
        };
        let points = self.points.query_map(params![table, id, from, to], |row| {
            let point = RawValue::from_string(row.get(1)?);
            let broken = |e| rusqlite::Error::FromSqlConversionFailure(1, Type::Text, Box::new(e));
            Ok((row.get(0)?, point.map_err(broken)?))
        })?;
        let data = points.collect::<Result<Points, _>>()?;
        Ok(Some(DataInfo { id: id.to_owned(), data, create_time, update_time }))
    }
}
