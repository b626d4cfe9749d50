//! The API group `work.brokkr.io`.

pub mod defaults;
pub mod v1alpha1;
pub mod validation;
