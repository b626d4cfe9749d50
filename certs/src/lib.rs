//! Mints the certificates of an aggregated API server.
