//! The OpenAPI 3.0 document of one group and version.

use serde_json::{Value, json};

use super::{paths, schemas};
use crate::endpoints::ApiVersion;

/// The document; `server_version` is what `info.version` says.
pub(super) fn document(group: &str, version: &ApiVersion, server_version: &str) -> Value {
    json!({
        "openapi": "3.0.0",
        "info": {"title": group, "version": server_version},
        "paths": paths::of(group, version),
        "components": {"schemas": schemas::of(group, version)},
    })
}
