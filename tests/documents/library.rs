//! The library knows nothing of what is built on it, and has nothing that only its sample server needs.

use std::fs;
use std::path::{Path, PathBuf};

use crate::repository::root;

/// Words of the product. A library that says one of them knows what its resources mean.
const WORDS: [&str; 6] = [
    "brokkr",
    "workorder",
    "work_order",
    "work order",
    "claim",
    "fence",
];

/// What the library has for servers with several versions of one kind, which ours is not yet.
const NOT_NEEDED_YET: [&str; 1] = ["ServedVersion"];

fn sources(folder: &str) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    collect(&root().join(folder), &mut found);
    assert!(!found.is_empty(), "{folder} holds sources");
    found
}

fn collect(folder: &Path, found: &mut Vec<(PathBuf, String)>) {
    for entry in fs::read_dir(folder).expect("a readable folder") {
        let path = entry.expect("a readable entry").path();
        if path.is_dir() {
            collect(&path, found);
        } else {
            let text = fs::read_to_string(&path).expect("a readable source");
            found.push((path, text));
        }
    }
}

#[test]
fn the_library_says_no_word_of_what_is_built_on_it() {
    let mut said = Vec::new();
    for (path, text) in ["src", "migrations"]
        .iter()
        .flat_map(|folder| sources(&format!("apiserver/generic/{folder}")))
    {
        for (number, line) in text.lines().enumerate() {
            let lower = line.to_lowercase();
            let words = WORDS.iter().filter(|word| lower.contains(**word));
            said.extend(words.map(|word| format!("{}:{}: {word}", path.display(), number + 1)));
        }
    }
    assert!(said.is_empty(), "{said:#?}");
}

/// The names that a source imports from the library, and from where.
fn imports(text: &str) -> Vec<String> {
    let mut names = Vec::new();
    for statement in text.split("use generic_apiserver::").skip(1) {
        let statement = statement.split(';').next().unwrap_or_default();
        let words = statement.split(|c: char| !c.is_alphanumeric() && c != '_');
        names.extend(
            words
                .filter(|word| !word.is_empty() && *word != "self")
                .map(str::to_owned),
        );
    }
    names
}

fn says(text: &str, name: &str) -> bool {
    text.split(|c: char| !c.is_alphanumeric() && c != '_')
        .any(|word| word == name)
}

/// The lines of a source that may use something: no comments, and nothing that is only passed on.
fn code(text: &str) -> Vec<String> {
    let lines: Vec<&str> = text
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .collect();
    let text = lines.join("\n");
    let statements = text.split_inclusive(';');
    let kept: String = statements
        .filter(|statement| !statement.trim_start().starts_with("pub use "))
        .collect();
    kept.lines().map(str::to_owned).collect()
}

/// Whether a line of code uses the name: it is no definition of it, none of its own methods, not its text.
fn uses(line: &str, name: &str) -> bool {
    let definitions = ["struct", "enum", "trait", "fn", "mod", "type"];
    let defines = definitions
        .iter()
        .any(|what| line.contains(&format!("{what} {name}")));
    let own = line.starts_with("impl") || line.contains(&format!("\"{name}\""));
    says(line, name) && !defines && !own
}

#[test]
fn what_the_sample_server_uses_is_used_elsewhere_too() {
    let elsewhere: Vec<String> = ["apiserver/server/src", "apiserver/generic/src"]
        .into_iter()
        .flat_map(sources)
        .flat_map(|(_, text)| code(&text))
        .collect();
    let mut alone: Vec<String> = sources("tests/wardle/src")
        .iter()
        .flat_map(|(_, text)| imports(text))
        .filter(|name| !elsewhere.iter().any(|line| uses(line, name)))
        .collect();
    alone.sort();
    alone.dedup();
    assert_eq!(alone, NOT_NEEDED_YET, "used by the sample server alone");
}
