//! Reads the repository: its test functions and its documents.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Names of test functions with the file that holds each.
pub(crate) type Tests = BTreeMap<String, String>;

/// The root of the repository.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the crate lies in the repository")
        .to_owned()
}

/// Every test function of the Rust and Go sources.
pub(crate) fn tests() -> Tests {
    let mut found = Tests::new();
    collect(&root(), &mut found);
    found
}

fn collect(folder: &Path, found: &mut Tests) {
    let entries = fs::read_dir(folder).expect("a readable folder");
    let mut paths: Vec<_> = entries
        .map(|entry| entry.expect("a readable entry").path())
        .collect();
    // Of two tests of one name the last file counts, on every machine.
    paths.sort();
    for path in paths {
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if path.is_dir() && !name.starts_with('.') && name != "target" {
            collect(&path, found);
        } else if name.ends_with(".rs") || name.ends_with("_test.go") {
            collect_file(&path, found);
        }
    }
}

/// A test function is a function after a test attribute (Rust), or one whose name begins with Test (Go).
fn collect_file(path: &Path, found: &mut Tests) {
    let text = fs::read_to_string(path).expect("a readable source");
    let file = path
        .strip_prefix(root())
        .expect("below the root")
        .display()
        .to_string();
    let mut marked = false;
    for line in text.lines().map(str::trim_start) {
        if line.starts_with("#[test]") || line.starts_with("#[tokio::test") {
            marked = true;
        } else if let Some(name) = function_name(line) {
            if marked || (line.starts_with("func ") && name.starts_with("Test")) {
                found.insert(name, file.clone());
            }
            marked = false;
        }
    }
}

fn function_name(line: &str) -> Option<String> {
    let line = line.strip_prefix("async ").unwrap_or(line);
    let rest = line.strip_prefix("fn ").or_else(|| line.strip_prefix("func "))?;
    let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_')?;
    Some(rest[..end].to_owned())
}

/// Compares a document with what it should be, or writes it when `BROKKR_UPDATE_DOCS` is set.
pub(crate) fn check_document(path: &str, wanted: &str) {
    let file = root().join(path);
    if std::env::var_os("BROKKR_UPDATE_DOCS").is_some() {
        fs::write(&file, wanted).expect("a writable document");
    }
    let present = fs::read_to_string(&file).unwrap_or_default();
    assert!(
        present == wanted,
        "{path} is not what its list and the tests say; write it anew with \
         `BROKKR_UPDATE_DOCS=1 cargo test -p brokkr-tests --test documents`"
    );
}
