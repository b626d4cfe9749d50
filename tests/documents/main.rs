//! Documents that are made from the tests, and checked so that they cannot drift.
//!
//! `docs/conformance.md` and `docs/requirements.md` are written from a list of demands and from the tests
//! of the repository. With `BROKKR_UPDATE_DOCS=1` the tests here write the documents instead of comparing.

mod conformance;
mod repository;
mod requirements;
