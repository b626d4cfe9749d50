//! Test harness: a whole installation on a real control plane, brought up as a person would
//! (`hack/local-up.sh`) and shared by the tests of one binary.
//!
//! It leaves out assertions: those belong to the tests.

pub mod installation;
pub mod kubectl;
pub mod namespace;
pub mod ports;
pub mod rights;
pub mod wait;

pub use installation::{Installation, Part, local_up};
pub use kubectl::{Kubectl, Output};
pub use namespace::TestNamespace;
pub use ports::free_port;
pub use wait::eventually;
