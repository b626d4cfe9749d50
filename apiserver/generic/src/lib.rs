//! A library for Kubernetes aggregated API servers, backed by PostgreSQL.
