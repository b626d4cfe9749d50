//! Documents that are made from the code and its tests, and checked so that they cannot drift.
//!
//! `docs/conformance.md` and `docs/requirements.md` are written from a list of demands and from the tests
//! of the repository; `docs/reasons.md` from the table of reasons; the pages of flags from the programs'
//! own help. With `BROKKR_UPDATE_DOCS=1` the tests here write the documents instead of comparing. Links
//! and examples of pages that people write are checked as well, and what they must say.

mod conformance;
mod examples;
mod flags;
mod guides;
mod library;
mod links;
mod metrics;
mod mutants;
mod reasons;
mod repository;
mod requirements;
mod schema;
