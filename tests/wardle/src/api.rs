//! What all kinds of the group need to be kinds.

use schemars::{Schema, SchemaGenerator, json_schema};

/// Implements what k8s-openapi wants of a kind of the group.
macro_rules! kind {
    ($kind:ident, $version:literal, $scope:ident, $segment:literal) => {
        impl k8s_openapi::Resource for $kind {
            const API_VERSION: &'static str = concat!("wardle.example.com/", $version);
            const GROUP: &'static str = $crate::GROUP;
            const KIND: &'static str = stringify!($kind);
            const VERSION: &'static str = $version;
            const URL_PATH_SEGMENT: &'static str = $segment;
            type Scope = k8s_openapi::$scope;
        }

        impl k8s_openapi::Metadata for $kind {
            type Ty = k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

            fn metadata(&self) -> &Self::Ty {
                &self.metadata
            }

            fn metadata_mut(&mut self) -> &mut Self::Ty {
                &mut self.metadata
            }
        }
    };
}
pub(crate) use kind;

/// The schema of metadata, which the library knows.
pub(crate) fn object_meta(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "object", "x-kubernetes-ref": "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"})
}
