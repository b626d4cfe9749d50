//! The agent of Brokkr Work.
