//! Enumerations that travel as strings.
//!
//! Kubernetes writes enumerations as CamelCase strings and publishes them as `type: string` with `enum`. A *closed*
//! enumeration refuses unknown words while decoding; it suits what programs send to each other. An *open* one keeps an
//! unknown word, so that validation can answer with the field and the words it supports, as a user expects of a
//! field typed by hand.

/// Defines an enumeration with `as_str`, `Display`, `FromStr`, serde and an inline OpenAPI schema.
macro_rules! string_enum {
    (
        $(#[$meta:meta])*
        closed $name:ident { $( $(#[$variant_meta:meta])* $variant:ident = $word:literal, )+ }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $( $(#[$variant_meta])* $variant, )+ }

        impl $name {
            /// Every value, in the order of declaration.
            pub const ALL: &'static [Self] = &[$( Self::$variant, )+];

            /// The word on the wire.
            pub fn as_str(&self) -> &'static str {
                match self { $( Self::$variant => $word, )+ }
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::string_enum::UnknownWord;

            fn from_str(word: &str) -> Result<Self, Self::Err> {
                match word {
                    $( $word => Ok(Self::$variant), )+
                    _ => Err($crate::string_enum::UnknownWord::new(word, &[$( $word, )+])),
                }
            }
        }

        string_enum!(@wire $name { $( $word, )+ });
    };
    (
        $(#[$meta:meta])*
        open $name:ident { $( $(#[$variant_meta:meta])* $variant:ident = $word:literal, )+ }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name {
            $( $(#[$variant_meta])* $variant, )+
            /// A word this version does not know; validation refuses it.
            Unsupported(String),
        }

        impl $name {
            /// The words validation accepts.
            pub const SUPPORTED: &'static [&'static str] = &[$( $word, )+];

            /// The word on the wire.
            pub fn as_str(&self) -> &str {
                match self {
                    $( Self::$variant => $word, )+
                    Self::Unsupported(word) => word,
                }
            }
        }

        impl std::str::FromStr for $name {
            type Err = std::convert::Infallible;

            fn from_str(word: &str) -> Result<Self, Self::Err> {
                Ok(match word {
                    $( $word => Self::$variant, )+
                    _ => Self::Unsupported(word.to_owned()),
                })
            }
        }

        string_enum!(@wire $name { $( $word, )+ });
    };
    (@wire $name:ident { $( $word:literal, )+ }) => {
        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let word = <std::borrow::Cow<'de, str> as serde::Deserialize>::deserialize(deserializer)?;
                word.parse().map_err(serde::de::Error::custom)
            }
        }

        impl schemars::JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({"type": "string", "enum": [$( $word, )+]})
            }
        }
    };
}

pub(crate) use string_enum;

/// A word that a closed enumeration does not know.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown value {word:?}, expected one of {}", expected.join(", "))]
pub struct UnknownWord {
    word: String,
    expected: &'static [&'static str],
}

impl UnknownWord {
    pub(crate) fn new(word: &str, expected: &'static [&'static str]) -> Self {
        Self {
            word: word.to_owned(),
            expected,
        }
    }
}
