//! The program as it is built: what must not be in it.

use std::collections::BTreeSet;
use std::process::Command;

const MUTANTS: &str = include_str!("../../../tests/mutants.txt");
/// The variable that picks a mutant.
const VARIABLE: &str = "APISERVER_MUTANT";
/// Something that is in every build.
const CONTROL: &str = "apiserver.watch_events";

/// Those of the texts that the program holds.
fn held<'a>(texts: &BTreeSet<&'a str>) -> BTreeSet<&'a str> {
    let mut grep = Command::new("grep");
    grep.args(["--text", "--only-matching", "--fixed-strings"]);
    texts.iter().for_each(|text| {
        grep.args(["-e", text]);
    });
    grep.arg(env!("CARGO_BIN_EXE_brokkr-apiserver"));
    let output = grep.output().expect("grep runs");
    let found = String::from_utf8_lossy(&output.stdout).into_owned();
    texts
        .iter()
        .copied()
        .filter(|text| found.lines().any(|line| line == *text))
        .collect()
}

#[test]
fn mutants_are_in_the_program_only_when_it_is_built_with_them() {
    let rows = MUTANTS.lines().filter(|line| !line.starts_with('#'));
    let names = rows.filter_map(|row| row.split(" | ").next());
    let texts: BTreeSet<_> = names.chain([VARIABLE, CONTROL]).collect();

    let found = held(&texts);

    if cfg!(feature = "mutants") {
        assert_eq!(found, texts);
    } else {
        assert_eq!(found, BTreeSet::from([CONTROL]));
    }
}
