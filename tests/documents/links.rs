//! Every relative link of the pages leads to a file, and to a heading of it if it names one; every file of
//! the repository that a guide names is there.

use std::fs;
use std::path::{Path, PathBuf};

use crate::repository::root;

/// Beginnings of paths that guides write in their text and commands.
const FOLDERS: [&str; 4] = ["apiservice/", "docs/samples/", "hack/", "migrations/"];

/// README.md and every page below docs/.
pub(crate) fn pages() -> Vec<PathBuf> {
    let mut pages = vec![root().join("README.md")];
    collect(&root().join("docs"), &mut pages);
    pages
}

fn collect(folder: &Path, pages: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a readable folder") {
        let path = entry.expect("a readable entry").path();
        if path.is_dir() {
            collect(&path, pages);
        } else if path.extension().is_some_and(|extension| extension == "md") {
            pages.push(path);
        }
    }
}

/// What the links of a page lead to; text within fences holds none.
fn targets(page: &str) -> Vec<&str> {
    let mut fenced = false;
    let mut targets = Vec::new();
    for line in page.lines() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        }
        let links = line.split("](").skip(1);
        if !fenced {
            targets.extend(links.filter_map(|rest| rest.split_once(')').map(|(target, _)| target)));
        }
    }
    targets
}

/// The anchors of a page's headings, as code hosts derive them.
fn anchors(page: &str) -> Vec<String> {
    let headings = page.lines().filter(|line| line.starts_with('#'));
    let kept = |c: char| c.is_alphanumeric() || c == ' ' || c == '-' || c == '_';
    headings
        .map(|line| {
            let heading = line.trim_start_matches('#').trim().to_lowercase();
            heading.chars().filter(|c| kept(*c)).collect::<String>()
        })
        .map(|heading| heading.replace(' ', "-"))
        .collect()
}

/// What is wrong with a link; None if it leads somewhere or out of the repository.
fn broken(page: &Path, target: &str) -> Option<String> {
    if target.contains("://") || target.starts_with("mailto:") {
        return None;
    }
    let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
    let file = match path {
        "" => page.to_owned(),
        path => page.parent().expect("a page lies in a folder").join(path),
    };
    if !file.exists() {
        return Some(format!("{target} does not exist"));
    }
    if anchor.is_empty() {
        return None;
    }
    let text = fs::read_to_string(&file).expect("a readable page");
    (!anchors(&text).iter().any(|known| known == anchor))
        .then(|| format!("{target}: the page has no such heading"))
}

/// Paths of the repository in a text, such as `apiservice/rbac.yaml`.
fn paths(text: &str) -> Vec<&str> {
    let ends = |c: char| !(c.is_ascii_alphanumeric() || "/._-".contains(c));
    text.split(ends)
        .map(|word| word.trim_end_matches(['.', '-']))
        .filter(|word| FOLDERS.iter().any(|folder| word.starts_with(folder)))
        .collect()
}

#[test]
fn every_relative_link_leads_to_a_file_and_a_heading() {
    let mut wrong = Vec::new();
    for page in pages() {
        let text = fs::read_to_string(&page).expect("a readable page");
        let problems = targets(&text)
            .into_iter()
            .filter_map(|target| broken(&page, target));
        wrong.extend(problems.map(|problem| format!("{}: {problem}", page.display())));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_file_a_guide_names_is_there() {
    let guides = root().join("docs/guides");
    let mut named = 0;
    for page in pages().into_iter().filter(|page| page.starts_with(&guides)) {
        let text = fs::read_to_string(&page).expect("a readable page");
        for path in paths(&text) {
            named += 1;
            assert!(
                root().join(path).exists(),
                "{}: there is no {path}",
                page.display()
            );
        }
    }
    assert!(named > 0, "the guides name no file; is the folder right?");
}

#[test]
fn broken_links_are_found() {
    let page = root().join("docs/README-of-nowhere.md");
    assert_eq!(
        targets("see [a](x.md) and [b](y.md#z)\n```\n[c](d)\n```"),
        ["x.md", "y.md#z"]
    );
    assert!(broken(&page, "absent.md").is_some());
    assert!(broken(&page, "../README.md#no-such-heading").is_some());
    assert!(broken(&page, "../README.md#try-it").is_none());
    assert!(broken(&page, "https://example.com/absent").is_none());
    assert_eq!(
        paths("apply `apiservice/rbac.yaml`, then hack/test.sh."),
        ["apiservice/rbac.yaml", "hack/test.sh"]
    );
}
