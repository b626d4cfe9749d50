//! The names in a body against those on the URL.

use crate::object::Object;
use crate::registry::RegistryError;

/// The namespace of a body, if it has one, is that of the path.
pub(super) fn check_namespace(object: &Object, namespace: &str) -> Result<(), RegistryError> {
    match object.metadata.namespace.as_deref() {
        None | Some("") => Ok(()),
        Some(given) if given == namespace => Ok(()),
        Some(given) => Err(RegistryError::BadRequest(format!(
            "the namespace of the object ({given}) does not match the namespace on the URL ({namespace})"
        ))),
    }
}

/// The name of a body is that of the path.
pub(super) fn check_name(object: &Object, name: &str) -> Result<(), RegistryError> {
    match object.metadata.name.as_deref() {
        Some(given) if given == name => Ok(()),
        None | Some("") => Err(RegistryError::BadRequest(format!(
            "the object has no name: set metadata.name to the name on the URL ({name})"
        ))),
        Some(given) => Err(RegistryError::BadRequest(format!(
            "the name of the object ({given}) does not match the name on the URL ({name})"
        ))),
    }
}
