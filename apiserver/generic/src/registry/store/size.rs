//! How large an object may become by what clients send.
//!
//! Every cache and every watcher carries whole objects, so each is bounded, not only the bodies it is sent in: many
//! small patches make a large object too. What the server writes of itself is not measured: it is bounded by its own
//! rules, and must get through however full clients have made an object. Upstream concept: etcd's
//! `--max-request-bytes`.

use super::Store;
use super::update::is_released;
use crate::object::{Object, json_bytes};
use crate::registry::error::RegistryError;
use crate::registry::rest::Part;
use crate::registry::strategy::Strategy;

/// The most bytes of an object as JSON, as clients may make it: 1.5 MiB, etcd's default.
const OBJECT_BYTES_MAX: usize = 1536 * 1024;

impl<S: Strategy> Store<S> {
    /// Refuses a new object that is too large. Its version, and its time if it has none, are still to come.
    pub(super) fn check_size(object: &Object) -> Result<(), RegistryError> {
        too_large(object).map_or(Ok(()), Err)
    }

    /// Refuses a change by which a client makes an object too large, or larger when it is so already.
    ///
    /// What goes with the change need not fit, and whoever adds nothing is let through, whatever the server adds to the
    /// status because of it.
    pub(super) fn check_growth(
        &self,
        part: Part,
        next: &Object,
        current: &Object,
    ) -> Result<(), RegistryError> {
        match too_large(next) {
            Some(error)
                if !is_released(&next.metadata) && self.sent(part, next) > self.sent(part, current) =>
            {
                Err(error)
            }
            _ => Ok(()),
        }
    }

    /// The bytes of an object that a client who writes this part has a say in: the status of the main part is kept.
    fn sent(&self, part: Part, object: &Object) -> usize {
        let kept = object
            .body
            .get("status")
            .filter(|_| part == Part::Main && self.info.has_status);
        json_bytes(object) - kept.map_or(0, json_bytes)
    }
}

fn too_large(object: &Object) -> Option<RegistryError> {
    let bytes = json_bytes(object);
    (bytes > OBJECT_BYTES_MAX).then_some(RegistryError::TooLarge {
        bytes,
        limit: OBJECT_BYTES_MAX,
    })
}
