//! Types, defaulting and validation of the `work.brokkr.io` API group.
