//! What users look for is in the guides, and what the guides name exists.

use std::fs;

use brokkr_apis::work::v1alpha1::{conditions, reasons};

use crate::repository::root;

/// Row of the requirements, page, and what must stand there.
const TOPICS: &[(&str, &str, &str)] = &[
    ("B-25", "docs/guides/builds.md", "| Tekton Pipelines | v0.59 |"),
    (
        "B-25",
        "docs/guides/builds.md",
        "| Shipwright Build, API `shipwright.io/v1beta1` | v0.17.0 |",
    ),
    (
        "B-117",
        "docs/guides/builds.md",
        "kubectl -n team-a create secret docker-registry",
    ),
    ("B-117", "docs/guides/builds.md", "pushSecret: push"),
    ("B-117", "docs/guides/builds.md", "cloneSecret: clone"),
    (
        "B-119",
        "docs/guides/builds.md",
        "the Build first, the WorkOrder last",
    ),
    ("E-45", "docs/guides/builds.md", "| 3 | 240 s | attempt 4 |"),
];

fn page(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The version of a module that the control plane of the tests is built from.
fn pinned(file: &str, module: &str) -> String {
    let text = page(file);
    let line = text.lines().map(str::trim).find_map(|line| {
        line.trim_start_matches("require ")
            .strip_prefix(&format!("{module} "))
    });
    line.expect("the module is required")
        .split(' ')
        .next()
        .expect("a version")
        .to_owned()
}

#[test]
fn what_users_look_for_is_in_the_guides() {
    for (row, path, text) in TOPICS {
        assert!(page(path).contains(text), "{row}: {path} does not say {text:?}");
    }
}

#[test]
fn guide_to_builds_names_the_versions_that_tests_run_on() {
    let shipwright = pinned(
        "tests/controlplane/shipwright/go.mod",
        "github.com/shipwright-io/build",
    );
    let tekton = pinned("tests/controlplane/tekton/go.mod", "github.com/tektoncd/pipeline");
    let guide = page("docs/guides/builds.md");
    for (engine, version) in [("Shipwright Build", shipwright), ("Tekton Pipelines", tekton)] {
        let row = guide
            .lines()
            .find(|line| line.starts_with(&format!("| {engine}")))
            .unwrap_or_else(|| panic!("no row of {engine}"));
        assert!(
            row.ends_with(&format!("| {version} |")),
            "{row} should name {version}"
        );
    }
}

#[test]
fn every_manifest_has_its_place_in_the_installation_guides() {
    let guides = page("docs/guides/install-hub.md") + &page("docs/guides/agent.md");
    for entry in fs::read_dir(root().join("apiservice")).expect("a readable folder") {
        let name = entry.expect("a readable entry").file_name();
        let name = name.to_string_lossy();
        let applied_as_whole = name == "kustomization.yaml" || !name.ends_with(".yaml");
        assert!(
            applied_as_whole || guides.contains(&format!("apiservice/{name}")),
            "no guide says what apiservice/{name} is for"
        );
    }
}

/// The words of the troubleshooting table that name a reason: `Failed, Timeout` and `Schedulable, Suspended`.
#[test]
fn troubleshooting_names_reasons_that_exist() {
    let guide = page("docs/guides/builds.md");
    let table = guide.split("## Troubleshooting").nth(1).expect("the table");
    let of_conditions = [
        conditions::NO_AGENT_TARGETED,
        conditions::WORK_TYPE_NOT_SERVED,
        conditions::AGENTS_AT_CAPACITY,
        conditions::SUSPENDED,
    ];
    let mut named = Vec::new();
    for line in table.lines().filter(|line| line.starts_with("| ")) {
        let cells: Vec<_> = line.split('|').map(str::trim).collect();
        named.extend(cells[1].strip_prefix("Failed, "));
        let condition = cells[2].strip_prefix("Schedulable, ");
        named.extend(condition.and_then(|reason| reason.split(' ').next()));
    }
    assert!(named.len() > 10, "{named:?}");
    for reason in named {
        assert!(
            reasons::lookup(reason).is_some() || of_conditions.contains(&reason),
            "{reason} is not a reason"
        );
    }
}
