//! Tests of the state machine: every cell of its table, its rules one by one, laws that hold for every history, and what
//! is written into objects and log entries.

mod cells;
mod ends;
mod fixtures;
mod laws;
mod objects;
mod rules;
