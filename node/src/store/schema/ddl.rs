//! The statements that make the tables.

/// The table every file has had from the start, and the tags, word for word.
pub(super) const LEGACY: &str = "
CREATE TABLE IF NOT EXISTS finance_data(
  id INTEGER PRIMARY KEY AUTOINCREMENT, stock_code TEXT NOT NULL, market_code TEXT NOT NULL,
  subject_key TEXT NOT NULL, stock_name TEXT, report_date INTEGER NOT NULL, end_date TEXT,
  year TEXT, period TEXT, operating_income REAL, parent_holder_net_profit REAL,
  category TEXT DEFAULT 'stock', topic TEXT DEFAULT 'stock_a_listing_pool');
CREATE TABLE IF NOT EXISTS subject_tags(
  subject_key TEXT, id TEXT, keyword TEXT, PRIMARY KEY(subject_key, id, keyword));
";

/// What stands beside them.
///
/// - `store_state`: the file's account of itself, one row.
/// - `subjects`: the facts of each subject, drawn from its rows when the file was migrated and
///   kept by every write since; a subject whose last row was deleted stays with no rows, so that
///   its end has a revision too.
/// - `outside_changes`: subjects whose rows others wrote; the empty name stands for tags.
/// - `data_info`, `data_points`: data management.
/// - `store_history`, `change_log`: for those who follow; see `store::log`.
pub(super) const OURS: &str = "
CREATE TABLE IF NOT EXISTS store_state(
  id INTEGER PRIMARY KEY CHECK (id = 1), schema INTEGER NOT NULL, revision INTEGER NOT NULL,
  membership_revision INTEGER NOT NULL, records INTEGER NOT NULL, subjects INTEGER NOT NULL,
  probes INTEGER NOT NULL);
INSERT OR IGNORE INTO store_state VALUES (1, 1, 0, 0, 0, 0, 0);
CREATE TABLE IF NOT EXISTS subjects(
  subject_key TEXT NOT NULL PRIMARY KEY, name TEXT, status TEXT, listing_date TEXT,
  category TEXT NOT NULL, topic TEXT NOT NULL, row_count INTEGER NOT NULL,
  revision INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS subjects_topic ON subjects(topic);
CREATE INDEX IF NOT EXISTS subject_tags_selection ON subject_tags(id, keyword, subject_key);
CREATE TABLE IF NOT EXISTS outside_changes(subject_key TEXT);
CREATE INDEX IF NOT EXISTS outside_changes_subject ON outside_changes(subject_key);
CREATE TABLE IF NOT EXISTS data_info(
  table_id INTEGER NOT NULL, id TEXT NOT NULL, create_time TEXT NOT NULL,
  update_time INTEGER NOT NULL, PRIMARY KEY (table_id, id)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS data_points(
  table_id INTEGER NOT NULL, id TEXT NOT NULL, at INTEGER NOT NULL, point TEXT NOT NULL,
  PRIMARY KEY (table_id, id, at)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS store_history(
  id INTEGER PRIMARY KEY CHECK (id = 1), lineage TEXT NOT NULL, nonce INTEGER NOT NULL,
  columns INTEGER NOT NULL);
INSERT OR IGNORE INTO store_history VALUES (1, '', 0, 0);
CREATE TABLE IF NOT EXISTS change_log(
  key INTEGER PRIMARY KEY, last INTEGER NOT NULL, ends INTEGER NOT NULL, before INTEGER NOT NULL,
  nonce INTEGER NOT NULL, at INTEGER NOT NULL, ops BLOB NOT NULL);
";

/// Notes what others write. This program's connections have triggers switched off. A row that
/// `INSERT OR REPLACE` puts another in the place of is gone without a trigger of its own.
pub(super) const TRIGGERS: &str = "
CREATE TRIGGER IF NOT EXISTS finance_data_inserted_outside AFTER INSERT ON finance_data
WHEN NOT EXISTS (SELECT 1 FROM outside_changes WHERE subject_key = NEW.subject_key)
BEGIN INSERT INTO outside_changes VALUES (NEW.subject_key); END;
CREATE TRIGGER IF NOT EXISTS finance_data_updated_outside AFTER UPDATE ON finance_data
WHEN NOT EXISTS (SELECT 1 FROM outside_changes WHERE subject_key = NEW.subject_key)
BEGIN INSERT INTO outside_changes VALUES (NEW.subject_key); END;
CREATE TRIGGER IF NOT EXISTS finance_data_moved_outside AFTER UPDATE OF subject_key ON finance_data
WHEN NOT EXISTS (SELECT 1 FROM outside_changes WHERE subject_key = OLD.subject_key)
BEGIN INSERT INTO outside_changes VALUES (OLD.subject_key); END;
CREATE TRIGGER IF NOT EXISTS finance_data_deleted_outside AFTER DELETE ON finance_data
WHEN NOT EXISTS (SELECT 1 FROM outside_changes WHERE subject_key = OLD.subject_key)
BEGIN INSERT INTO outside_changes VALUES (OLD.subject_key); END;
CREATE TRIGGER IF NOT EXISTS finance_data_replaced_outside BEFORE INSERT ON finance_data
BEGIN INSERT INTO outside_changes SELECT subject_key FROM finance_data AS there
WHERE there.id = NEW.id AND there.subject_key <> NEW.subject_key; END;
CREATE TRIGGER IF NOT EXISTS finance_data_displaced_outside BEFORE UPDATE OF id ON finance_data
BEGIN INSERT INTO outside_changes SELECT subject_key FROM finance_data AS there
WHERE there.id = NEW.id AND there.id <> OLD.id AND there.subject_key <> NEW.subject_key; END;
CREATE TRIGGER IF NOT EXISTS subject_tags_inserted_outside AFTER INSERT ON subject_tags
WHEN NOT EXISTS (SELECT 1 FROM outside_changes WHERE subject_key = '')
BEGIN INSERT INTO outside_changes VALUES (''); END;
CREATE TRIGGER IF NOT EXISTS subject_tags_updated_outside AFTER UPDATE ON subject_tags
WHEN NOT EXISTS (SELECT 1 FROM outside_changes WHERE subject_key = '')
BEGIN INSERT INTO outside_changes VALUES (''); END;
CREATE TRIGGER IF NOT EXISTS subject_tags_deleted_outside AFTER DELETE ON subject_tags
WHEN NOT EXISTS (SELECT 1 FROM outside_changes WHERE subject_key = '')
BEGIN INSERT INTO outside_changes VALUES (''); END;
";

/// Everything by name that a complete file has. A script that drops `finance_data` to make it anew
/// takes keys and triggers along.
pub(super) const NAMES: [&str; 22] = [
    "finance_data",
    "finance_data_key",
    "subject_tags",
    "subject_tags_selection",
    "store_state",
    "subjects",
    "subjects_topic",
    "outside_changes",
    "outside_changes_subject",
    "data_info",
    "data_points",
    "store_history",
    "change_log",
    "finance_data_inserted_outside",
    "finance_data_updated_outside",
    "finance_data_moved_outside",
    "finance_data_deleted_outside",
    "finance_data_replaced_outside",
    "finance_data_displaced_outside",
    "subject_tags_inserted_outside",
    "subject_tags_updated_outside",
    "subject_tags_deleted_outside",
];
