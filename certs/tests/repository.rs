//! A rule of the whole repository: the server's certificate is always verified.
//!
//! The two spellings (of the APIService, and of kubeconfig's flag) are put together from parts here, so
//! that this file does not break the rule it holds.

#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

use std::fs;
use std::path::{Path, PathBuf};

const SPELLINGS: [&str; 2] = [
    concat!("insecure", "SkipTLSVerify"),
    concat!("insecure", "-skip-tls-verify"),
];

const EXTENSIONS: [&str; 11] = [
    "yaml", "yml", "rs", "go", "sh", "toml", "tpl", "mk", "sql", "py", "j2",
];

/// The lines of a text that switch verification off or speak of it, counted from 1.
fn offending_lines(text: &str) -> Vec<usize> {
    let offends = |line: &str| {
        let line = line.to_ascii_lowercase();
        SPELLINGS
            .iter()
            .any(|spelling| line.contains(&spelling.to_ascii_lowercase()))
    };
    text.lines()
        .enumerate()
        .filter(|(_, line)| offends(line))
        .map(|(index, _)| index + 1)
        .collect()
}

/// Every file of the project that a machine acts upon; build output and hidden directories are not of it.
fn acted_upon(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        let (path, name) = (entry.path(), entry.file_name().into_string().unwrap());
        let kind = entry.file_type().unwrap();
        if kind.is_dir() && !name.starts_with('.') && name != "target" && name != "node_modules" {
            acted_upon(&path, found);
        }
        let extension = path.extension().and_then(|extension| extension.to_str());
        if kind.is_file() && (extension.is_none() || extension.is_some_and(|it| EXTENSIONS.contains(&it))) {
            found.push(path);
        }
    }
}

#[test]
fn certificate_verification_is_switched_off_nowhere() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut files = Vec::new();
    acted_upon(root, &mut files);

    for expected in ["apiservice/apiservice.yaml", "certs/src/lib.rs", "Cargo.toml"] {
        assert!(
            files.contains(&root.join(expected)),
            "{expected} was not looked at"
        );
    }
    for path in files {
        let text = String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned();
        let lines = offending_lines(&text);
        assert!(
            lines.is_empty(),
            "{}: lines {lines:?}; give a CA bundle instead",
            path.display()
        );
    }
}

#[test]
fn offending_lines_finds_both_spellings_in_any_case() {
    for spelling in SPELLINGS {
        assert_eq!(offending_lines(&format!("spec:\n  {spelling}: true\n")), [2]);
        assert_eq!(offending_lines(&spelling.to_uppercase()), [1]);
    }
    assert!(offending_lines("caBundle: abc\n").is_empty());
}
