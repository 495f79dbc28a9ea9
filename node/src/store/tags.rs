//! Tags by which selections pick subjects.

use super::{StoreError, job::Writing, log};

/// `keyword` of `subject` under the tag family `id`, such as `concept`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tag {
    /// `market:code`.
    pub subject: String,
    /// The family.
    pub id: String,
    /// The word.
    pub keyword: String,
}

/// Adds those that are not there.
pub(super) fn add(writing: &mut Writing<'_>, tags: &[Tag]) -> Result<(), StoreError> {
    writing.touched.membership = true;
    let mut insert = writing.conn.prepare_cached(
        "INSERT OR IGNORE INTO subject_tags (subject_key, id, keyword) VALUES (?1, ?2, ?3)",
    )?;
    for Tag { subject, id, keyword } in tags {
        insert.execute([subject, id, keyword])?;
    }
    drop(insert);
    for Tag { subject, id, keyword } in tags {
        log::tag_added(writing, [subject, id, keyword]);
    }
    Ok(())
}
