//! The aggregated API server of `work.brokkr.io`.
