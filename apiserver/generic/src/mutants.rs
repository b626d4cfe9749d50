//! Guards that a test run takes out, one at a time, to see that a test misses them.
//!
//! `mutant!("name")` stands where the code would be wrong without what is there. With the cargo feature
//! `mutants` it asks whether the environment variable `APISERVER_MUTANT` names this mutant, so that one
//! build holds all of them. Without the feature, which nothing that is shipped has, it is the constant
//! `false`, and neither the names nor the variable are in the program.
//!
//! Each mutant has a row in `tests/mutants.txt` with the test that notices it; `hack/mutants.sh` runs
//! that test without the mutant, where it must pass, and with it, where it must fail.

/// Whether the guard of this name is to be left out.
#[cfg(not(feature = "mutants"))]
#[macro_export]
macro_rules! mutant {
    ($name:literal) => {
        false
    };
}

/// Whether the guard of this name is to be left out.
#[cfg(feature = "mutants")]
#[macro_export]
macro_rules! mutant {
    ($name:literal) => {
        $crate::mutants::is_chosen($name)
    };
}

/// Whether the environment names this mutant.
#[cfg(feature = "mutants")]
#[must_use]
pub fn is_chosen(name: &str) -> bool {
    static CHOSEN: std::sync::OnceLock<Option<String>> = std::sync::OnceLock::new();
    CHOSEN
        .get_or_init(|| std::env::var("APISERVER_MUTANT").ok())
        .as_deref()
        == Some(name)
}
