//! `tests/mutants.txt`: every mutant of the sources has its row, and every row its mutant and its test.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::repository::{root, tests};

const TABLE: &str = include_str!("../mutants.txt");

/// Name, test target, and the test with its module.
fn rows() -> Vec<[&'static str; 3]> {
    let rows = TABLE.lines().filter(|line| !line.starts_with('#'));
    rows.map(|row| {
        let columns: Vec<_> = row.split(" | ").collect();
        let [name, target, test, wrong, says] = columns[..] else {
            panic!("five columns: {row}")
        };
        assert!(!wrong.is_empty(), "{name} says what is wrong");
        assert!(!says.is_empty(), "{name} says how that is noticed");
        [name, target, test]
    })
    .collect()
}

/// The names of the mutants below a folder.
fn named(folder: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(folder).expect("a readable folder") {
        let path = entry.expect("a readable entry").path();
        if path.is_dir() {
            named(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") && !path.ends_with("mutants.rs")
        {
            let text = fs::read_to_string(&path).expect("a readable source");
            let names = text.split("mutant!(\"").skip(1);
            found.extend(names.filter_map(|rest| Some(rest.split_once('"')?.0.to_owned())));
        }
    }
}

#[test]
fn every_mutant_has_its_row_and_every_row_its_mutant() {
    let mut named_in_sources = Vec::new();
    for folder in ["apiserver/generic/src", "apiserver/server/src"] {
        named(&root().join(folder), &mut named_in_sources);
    }
    let in_table: Vec<_> = rows().iter().map(|[name, ..]| (*name).to_owned()).collect();
    let distinct: BTreeSet<_> = in_table.iter().collect();
    assert_eq!(distinct.len(), in_table.len(), "a name stands for one mutant");
    assert_eq!(distinct, named_in_sources.iter().collect());
}

#[test]
fn the_test_of_every_mutant_exists() {
    let tests = tests();
    for [name, target, test] in rows() {
        let (module, function) = test.rsplit_once("::").expect("a module and a function");
        let file = tests
            .get(function)
            .unwrap_or_else(|| panic!("{name}: no test {function}"));
        let wanted = format!("tests/{target}/{}", module.replace("::", "/"));
        assert!(
            file.contains(&wanted),
            "{name}: {function} is in {file}, not in {wanted}"
        );
    }
}
