//! Statements with a guard left out: for the mutants of the tests alone (`generic_apiserver::mutants`).

/// The statement with `instead` in the place of `guard`, which it has. Called by mutants only, so that what
/// it leaks does not matter.
pub(super) fn without(statement: &'static str, guard: &str, instead: &str) -> &'static str {
    assert!(statement.contains(guard), "no {guard:?} in {statement}");
    String::leak(statement.replace(guard, instead))
}
