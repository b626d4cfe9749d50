//! The agent of Brokkr Work.
pub mod outcome;
