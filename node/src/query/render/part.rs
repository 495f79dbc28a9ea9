//! Parts of larger answers: the rows from the first on, and behind them what it takes to merge the parts.

use super::{Candidate, Labels, all_rows, close, cut, dated_rows, end, newest, newest_rows};
use crate::{
    cache::stock_data_map::Known,
    query::{Order, Page, Part, PeriodQuery, SortField},
};

/// The whole answer to `part`, where an answer may hold `max_rows`.
pub(super) fn write(part: Part<'_>, max_rows: usize, maps: &[Known], labels: &Labels) -> Vec<u8> {
    let mut about = br#","part":{"#.to_vec();
    let mut out = match part {
        Part::Snapshot(query) => {
            write_page(&mut about, &query.page);
            let mut found = newest(maps, query);
            let rows = cut(&mut found, &from_the_first(query.page));
            let mut lists = Lists::new(query.page.field);
            lists.add(rows);
            lists.write(&mut about);
            newest_rows(rows, &query.indicators, labels)
        }
        Part::Period(query) => {
            write_rows(&mut about, maps, query, max_rows);
            write_subjects(&mut about, maps, query);
            all_rows(maps, query, labels)
        }
        Part::ByDate(query, page) => {
            write_page(&mut about, page);
            write_rows(&mut about, maps, query, max_rows);
            let mut lists = Lists::new(page.field);
            let first = from_the_first(*page);
            let data = dated_rows(maps, query, &first, labels, |rows| lists.add_list(rows));
            lists.write(&mut about);
            data
        }
    };
    end(&mut about, b'}');
    out.extend_from_slice(&about);
    close(out)
}

/// The page that holds whatever of these rows can be on `page` once others come between them.
fn from_the_first(page: Page) -> Page {
    Page { offset: 0, limit: page.offset.saturating_add(page.limit), ..page }
}

fn write_page(about: &mut Vec<u8>, page: &Page) {
    let order = match page.order {
        Order::Ascending => "1",
        Order::Descending => "-1",
    };
    about.extend_from_slice(br#""order":"#);
    about.extend_from_slice(order.as_bytes());
    about.push(b',');
    write_count(about, r#""offset":"#, page.offset);
    write_count(about, r#""limit":"#, page.limit);
}

fn write_rows(about: &mut Vec<u8>, maps: &[Known], query: &PeriodQuery, max_rows: usize) {
    let rows = maps.iter().map(|map| map.rows_in(query.from, query.to).len()).sum();
    write_count(about, r#""rows":"#, rows);
    write_count(about, r#""max_rows":"#, max_rows);
}

fn write_count(about: &mut Vec<u8>, label: &str, count: usize) {
    about.extend_from_slice(label.as_bytes());
    about.extend_from_slice(itoa::Buffer::new().format(count).as_bytes());
    about.push(b',');
}

/// The subjects that have rows.
fn write_subjects(about: &mut Vec<u8>, maps: &[Known], query: &PeriodQuery) {
    about.extend_from_slice(br#""subjects":["#);
    for map in maps.iter().filter(|map| !map.rows_in(query.from, query.to).is_empty()) {
        write_text(about, map.subject_json());
    }
    end(about, b']');
}

fn write_text(list: &mut Vec<u8>, json: &[u8]) {
    list.push(b'"');
    list.extend_from_slice(json);
    list.extend_from_slice(b"\",");
}

/// What rows are sorted by, in lists beside that of the rows.
struct Lists {
    subjects: Vec<u8>,
    /// Not there where the subject itself is sorted by.
    values: Option<Vec<u8>>,
}

impl Lists {
    fn new(field: SortField) -> Self {
        Self { subjects: vec![b'['], values: (field != SortField::Subject).then(|| vec![b'[']) }
    }

    fn add(&mut self, rows: &[Candidate<'_>]) {
        for one in rows {
            write_text(&mut self.subjects, one.map.subject_json());
            if let Some(values) = &mut self.values {
                one.write_key(values);
                values.push(b',');
            }
        }
    }

    /// Adds the rows as a list of their own.
    fn add_list(&mut self, rows: &[Candidate<'_>]) {
        self.each(|list| list.push(b'['));
        self.add(rows);
        self.each(|list| {
            end(list, b']');
            list.push(b',');
        });
    }

    fn write(mut self, about: &mut Vec<u8>) {
        self.each(|list| end(list, b']'));
        about.extend_from_slice(br#""subjects":"#);
        about.extend_from_slice(&self.subjects);
        if let Some(values) = &self.values {
            about.extend_from_slice(br#","values":"#);
            about.extend_from_slice(values);
        }
    }

    fn each(&mut self, change: impl Fn(&mut Vec<u8>)) {
        change(&mut self.subjects);
        if let Some(values) = &mut self.values {
            change(values);
        }
    }
}
