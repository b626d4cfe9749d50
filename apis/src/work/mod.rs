//! The API group `work.brokkr.io`.

pub mod v1alpha1;
