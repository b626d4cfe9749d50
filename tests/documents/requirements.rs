//! `docs/requirements.md`: every demanded row, the tests that show it and the page that says it.

use crate::repository::{Tests, check_document, root, tests};

const ROWS: &str = include_str!("requirements.txt");

struct Row {
    id: &'static str,
    what: &'static str,
    tests: Vec<&'static str>,
    page: Option<&'static str>,
}

fn rows() -> Vec<Row> {
    ROWS.lines()
        .filter(|line| !line.starts_with('#'))
        .map(parse)
        .collect()
}

fn parse(line: &'static str) -> Row {
    let mut parts = line.split(" | ");
    let (id, what) = parts
        .next()
        .and_then(|head| head.split_once(' '))
        .expect("an id and a text");
    let tests = parts
        .next()
        .map(|names| names.split(", ").collect())
        .unwrap_or_default();
    Row {
        id,
        what,
        tests,
        page: parts.next(),
    }
}

/// A row that repeats another is done by the other's tests.
fn resolved<'a>(row: &'a Row, rows: &'a [Row]) -> &'a Row {
    let same = row
        .what
        .strip_prefix("= ")
        .and_then(|id| rows.iter().find(|other| other.id == id));
    same.unwrap_or(row)
}

fn line(row: &Row, rows: &[Row], tests: &Tests) -> String {
    let done = resolved(row, rows);
    let shown: Vec<_> = done
        .tests
        .iter()
        .map(|name| format!("[`{name}`](../{})", tests.get(*name).map_or("", String::as_str)))
        .collect();
    let state = if shown.is_empty() {
        "not yet".to_owned()
    } else {
        shown.join("<br>")
    };
    let page = done
        .page
        .map(|page| format!("[{page}](../{page})"))
        .unwrap_or_default();
    format!("| {} | {} | {state} | {page} |\n", row.id, row.what)
}

fn document(rows: &[Row], tests: &Tests) -> String {
    let done = rows
        .iter()
        .filter(|row| !resolved(row, rows).tests.is_empty())
        .count();
    let mut text = String::from(
        "# Requirements\n\n\
         Every demanded row, the tests that show it, and the page where a user finds it. This page is made\n\
         from `tests/documents/requirements.txt`; a test fails when it is not current or names a test that\n\
         does not exist.\n\n",
    );
    text.push_str(&format!("{done} of {} rows are shown by tests.\n\n", rows.len()));
    text.push_str("| row | what | shown by | page |\n|---|---|---|---|\n");
    rows.iter().for_each(|row| text.push_str(&line(row, rows, tests)));
    text
}

#[test]
fn requirements_document_is_current() {
    check_document("docs/requirements.md", &document(&rows(), &tests()));
}

#[test]
fn every_test_and_page_named_by_a_row_exists() {
    let tests = tests();
    for row in rows() {
        for name in &row.tests {
            assert!(
                tests.contains_key(*name),
                "{} names the test {name}, which does not exist",
                row.id
            );
        }
        if let Some(page) = row.page {
            assert!(
                root().join(page).exists(),
                "{} names the page {page}, which does not exist",
                row.id
            );
        }
    }
}
