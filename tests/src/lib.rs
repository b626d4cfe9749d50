//! Test harness of Brokkr Work.
