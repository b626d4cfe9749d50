//! How large the tests that meet chance are: small for every run, larger when the environment says so.

use std::str::FromStr;

/// Orders created and claimed while the database dies: as many as take about ten seconds on two busy cores, of which
/// the outages take most; the thousand of `hack/soak.sh` take half a minute.
pub(crate) fn orders() -> usize {
    setting("BROKKR_SOAK_ORDERS", 300)
}

/// Mutated requests.
pub(crate) fn requests() -> usize {
    setting("BROKKR_SOAK_REQUESTS", 400)
}

/// What chance begins with; a failure says it, and the same seed sends the same requests.
pub(crate) fn seed() -> u64 {
    setting("BROKKR_SOAK_SEED", 1)
}

fn setting<T: FromStr<Err: std::fmt::Debug>>(name: &str, default: T) -> T {
    match std::env::var(name) {
        Ok(text) => text
            .parse()
            .unwrap_or_else(|error| panic!("{name}={text}: {error:?}")),
        Err(_) => default,
    }
}
