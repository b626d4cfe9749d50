//! `docs/conformance.md`: every item of the checklist, its state and the tests that carry its id.

use crate::repository::{Tests, check_document, tests};

const ITEMS: &str = include_str!("conformance.txt");

/// Items beyond P0 that the main job needs: without them a controller-manager or `kubectl get -w` suffers.
const NEEDED: [&str; 9] = [
    "C-005", "C-063", "C-081", "C-174", "C-231", "C-240", "C-253", "C-274", "C-275",
];

struct Item {
    id: &'static str,
    priority: &'static str,
    title: &'static str,
    /// Why upstream allows that it is refused.
    refused: Option<&'static str>,
}

fn items() -> Vec<Item> {
    ITEMS
        .lines()
        .filter(|line| line.starts_with("C-"))
        .map(parse)
        .collect()
}

fn parse(line: &'static str) -> Item {
    let (id, rest) = line.split_once(' ').expect("an id");
    let (priority, rest) = rest.split_once(' ').expect("a priority");
    let (title, refused) = match rest.split_once(" | refused: ") {
        Some((title, why)) => (title, Some(why)),
        None => (rest, None),
    };
    Item {
        id,
        priority,
        title,
        refused,
    }
}

/// The ids a test's name begins with: `c123_` or `c123_c124_` in Rust, `TestC123_` in Go.
fn ids(name: &str) -> Vec<&str> {
    let digits = |word: &str| word.len() == 3 && word.bytes().all(|b| b.is_ascii_digit());
    if let Some(rest) = name.strip_prefix("TestC") {
        return rest.split('_').take(1).filter(|id| digits(id)).collect();
    }
    let words = name.split('_').map_while(|word| word.strip_prefix('c'));
    words.take_while(|id| digits(id)).collect()
}

/// The tests that show an item.
fn shown_by(item: &Item, tests: &Tests) -> Vec<String> {
    let digits = item.id.trim_start_matches("C-");
    tests
        .iter()
        .filter(|(name, _)| ids(name).contains(&digits))
        .map(|(name, file)| format!("[`{name}`](../{file})"))
        .collect()
}

fn row(item: &Item, tests: &Tests) -> String {
    let shown = shown_by(item, tests);
    let state = match (item.refused, shown.is_empty()) {
        (Some(why), _) => format!("refused: {why}"),
        (None, false) => "served".to_owned(),
        (None, true) => "not yet".to_owned(),
    };
    format!(
        "| {} | {} | {} | {state} | {} |\n",
        item.id,
        item.priority,
        item.title,
        shown.join("<br>")
    )
}

fn document(items: &[Item], tests: &Tests) -> String {
    let served = items
        .iter()
        .filter(|item| !shown_by(item, tests).is_empty())
        .count();
    let mut text = String::from(
        "# Conformance\n\n\
         What \"native\" means on the wire, item by item, and the tests that show it. Each test speaks HTTP.\n\
         This page is made from `tests/documents/conformance.txt` and the names of the tests; a test fails\n\
         when it is not current. An item is *served* when a test carries its id, *refused* where upstream\n\
         allows a server to refuse, else *not yet*.\n\n",
    );
    text.push_str(&format!(
        "{served} of {} items are shown by tests.\n\n",
        items.len()
    ));
    text.push_str("| item | priority | what | state | tests |\n|---|---|---|---|---|\n");
    items.iter().for_each(|item| text.push_str(&row(item, tests)));
    text
}

#[test]
fn conformance_document_is_current() {
    check_document("docs/conformance.md", &document(&items(), &tests()));
}

#[test]
fn every_item_of_first_priority_is_shown_by_a_test() {
    let tests = tests();
    let missing: Vec<_> = items()
        .iter()
        .filter(|item| item.priority == "P0" || NEEDED.contains(&item.id))
        .filter(|item| item.refused.is_none() && shown_by(item, &tests).is_empty())
        .map(|item| item.id)
        .collect();
    assert!(missing.is_empty(), "no test carries the id of {missing:?}");
}

#[test]
fn every_test_with_an_id_names_an_item() {
    let known: Vec<_> = items()
        .iter()
        .map(|item| item.id.trim_start_matches("C-").to_owned())
        .collect();
    for name in tests().keys() {
        for id in ids(name) {
            assert!(known.iter().any(|item| item == id), "{name} names no item");
        }
    }
}

#[test]
fn a_test_may_show_several_items() {
    assert_eq!(ids("c001_c002_api_service_is_available"), ["001", "002"]);
    assert_eq!(ids("TestC304_Discovery"), ["304"]);
    assert!(ids("claims_have_one_winner").is_empty());
}
