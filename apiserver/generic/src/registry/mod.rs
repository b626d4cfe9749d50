//! What a resource is: its strategy, its subresources, and how its verbs use storage.
//!
//! Upstream concept: `k8s.io/apiserver/pkg/registry`. Nothing here knows HTTP.
