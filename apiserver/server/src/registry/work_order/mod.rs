//! Orders: the resource, and the claim protocol by name.

pub mod claim;
pub mod complete;
pub mod release;
pub mod renew;
pub mod table;
