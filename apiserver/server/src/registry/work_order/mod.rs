//! Orders.
pub mod table;
