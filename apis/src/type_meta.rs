//! `apiVersion` and `kind` as fields that cannot be wrong.
//!
//! Upstream's TypeMeta is two free strings. Here both are zero-sized: they always serialise as the kind they belong to
//! (kube-rs and kubectl need both on every object), decoding refuses any other value, and leaving them out is accepted
//! because items of a typed list come without.

use std::fmt;
use std::marker::PhantomData;

use k8s_openapi::Resource;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// The `apiVersion` of `K`: group and version.
pub struct ApiVersion<K>(PhantomData<fn() -> K>);

/// The `kind` of `K`.
pub struct Kind<K>(PhantomData<fn() -> K>);

/// Implements what derive would bound on `K`, and the wire form, for one marker.
macro_rules! type_meta_field {
    ($marker:ident, $constant:ident, $field:literal, $description:literal) => {
        impl<K> Clone for $marker<K> {
            fn clone(&self) -> Self {
                *self
            }
        }

        impl<K> Copy for $marker<K> {}

        impl<K> Default for $marker<K> {
            fn default() -> Self {
                Self(PhantomData)
            }
        }

        impl<K> PartialEq for $marker<K> {
            fn eq(&self, _: &Self) -> bool {
                true
            }
        }

        impl<K> Eq for $marker<K> {}

        impl<K: Resource> fmt::Debug for $marker<K> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(K::$constant, f)
            }
        }

        impl<K: Resource> Serialize for $marker<K> {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(K::$constant)
            }
        }

        impl<'de, K: Resource> Deserialize<'de> for $marker<K> {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let found = Option::<std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
                match found.as_deref() {
                    // Go clients send the empty string for a type they did not set.
                    None | Some("") => Ok(Self::default()),
                    Some(found) if found == K::$constant => Ok(Self::default()),
                    Some(found) => Err(de::Error::custom(format_args!(
                        "{} is {found:?}, expected {:?}",
                        $field,
                        K::$constant
                    ))),
                }
            }
        }

        impl<K> JsonSchema for $marker<K> {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($marker).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({"type": "string", "description": $description})
            }
        }
    };
}

type_meta_field!(
    ApiVersion,
    API_VERSION,
    "apiVersion",
    "The versioned schema of this representation of an object: the API group and its version."
);
type_meta_field!(Kind, KIND, "kind", "The kind of this object, in CamelCase.");

/// Implements the k8s-openapi traits of one kind, so that `kube::Api<T>` works with it.
///
/// `namespaced` and `cluster` kinds are resources with a list; a `subresource` kind is posted to the path segment
/// below an object, as TokenRequest is.
macro_rules! kind {
    ($kind:ident, namespaced, $segment:literal) => {
        $crate::type_meta::kind!(@resource $kind, NamespaceResourceScope, $segment);
        $crate::type_meta::kind!(@listable $kind);
    };
    ($kind:ident, cluster, $segment:literal) => {
        $crate::type_meta::kind!(@resource $kind, ClusterResourceScope, $segment);
        $crate::type_meta::kind!(@listable $kind);
    };
    ($kind:ident, subresource, $segment:literal) => {
        $crate::type_meta::kind!(@resource $kind, SubResourceScope, $segment);
    };
    (@listable $kind:ident) => {
        impl k8s_openapi::ListableResource for $kind {
            const LIST_KIND: &'static str = concat!(stringify!($kind), "List");
        }
    };
    (@resource $kind:ident, $scope:ident, $segment:literal) => {
        impl k8s_openapi::Resource for $kind {
            const API_VERSION: &'static str = $crate::work::v1alpha1::API_VERSION;
            const GROUP: &'static str = $crate::GROUP;
            const KIND: &'static str = stringify!($kind);
            const VERSION: &'static str = $crate::work::v1alpha1::VERSION;
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
