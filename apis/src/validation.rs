//! What is wrong with one field of an object.
//!
//! The words and the layout are those of upstream's `field.Error`, because kubectl prints them and people search for
//! them. The server turns a list of these into the causes of a 422.

use std::fmt;

use serde_json::Value;

/// One rule broken by one field.
#[derive(Clone, Debug, PartialEq)]
pub struct FieldError {
    /// The path of the field, such as `spec.targets[0].agentNames`.
    pub field: String,
    /// Which sort of rule is broken.
    pub kind: FieldErrorKind,
    /// The value found; `Null` when it does not matter.
    pub value: Value,
    /// What the rule is, and what to write instead.
    pub message: String,
}

/// The sorts of broken rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldErrorKind {
    /// A field that must be set is not.
    Required,
    /// The value breaks a rule about its form or range.
    Invalid,
    /// The value is not one of a known set.
    NotSupported,
    /// The value may occur once only.
    Duplicate,
    /// The field may not be set, or not be changed, here.
    Forbidden,
    /// The value has too many bytes.
    TooLong,
    /// The list has too many items.
    TooMany,
}

impl FieldErrorKind {
    /// The machine-readable reason of a cause in a Status.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Required => "FieldValueRequired",
            Self::Invalid => "FieldValueInvalid",
            Self::NotSupported => "FieldValueNotSupported",
            Self::Duplicate => "FieldValueDuplicate",
            Self::Forbidden => "FieldValueForbidden",
            Self::TooLong => "FieldValueTooLong",
            Self::TooMany => "FieldValueTooMany",
        }
    }

    /// The words a message starts with.
    fn title(self) -> &'static str {
        match self {
            Self::Required => "Required value",
            Self::Invalid => "Invalid value",
            Self::NotSupported => "Unsupported value",
            Self::Duplicate => "Duplicate value",
            Self::Forbidden => "Forbidden",
            Self::TooLong => "Too long",
            Self::TooMany => "Too many",
        }
    }

    /// Whether the message repeats the value; a value that is too long would only be in the way.
    fn shows_value(self) -> bool {
        matches!(
            self,
            Self::Invalid | Self::NotSupported | Self::Duplicate | Self::TooMany
        )
    }
}

impl FieldError {
    /// A field that must be set is not.
    pub fn required(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(field, FieldErrorKind::Required, Value::Null, message)
    }

    /// The value breaks a rule about its form or range.
    pub fn invalid(field: impl Into<String>, value: impl Into<Value>, message: impl Into<String>) -> Self {
        Self::new(field, FieldErrorKind::Invalid, value, message)
    }

    /// The value is not one of those supported.
    pub fn not_supported(field: impl Into<String>, value: impl Into<Value>, supported: &[&str]) -> Self {
        let supported: Vec<String> = supported.iter().map(|word| format!("{word:?}")).collect();
        let message = format!("supported values: {}", supported.join(", "));
        Self::new(field, FieldErrorKind::NotSupported, value, message)
    }

    /// The value may occur once only.
    pub fn duplicate(field: impl Into<String>, value: impl Into<Value>) -> Self {
        Self::new(field, FieldErrorKind::Duplicate, value, "")
    }

    /// The field may not be set, or not be changed, here.
    pub fn forbidden(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(field, FieldErrorKind::Forbidden, Value::Null, message)
    }

    /// The value has more bytes than it may have.
    pub fn too_long(field: impl Into<String>, bytes: usize, bytes_max: usize) -> Self {
        let message = format!("may not be more than {bytes_max} bytes, it has {bytes}");
        Self::new(field, FieldErrorKind::TooLong, Value::Null, message)
    }

    /// The list has more items than it may have.
    pub fn too_many(field: impl Into<String>, count: usize, count_max: usize) -> Self {
        let message = format!("must have at most {count_max} items");
        Self::new(field, FieldErrorKind::TooMany, count, message)
    }

    /// The machine-readable reason of a cause in a Status.
    pub fn reason(&self) -> &'static str {
        self.kind.reason()
    }

    /// The message without the field, as it stands in a cause of a Status.
    pub fn body(&self) -> String {
        let title = self.kind.title();
        let value = if self.kind.shows_value() {
            format!(": {}", self.value)
        } else {
            String::new()
        };
        let separator = if self.message.is_empty() { "" } else { ": " };
        format!("{title}{value}{separator}{}", self.message)
    }

    fn new(
        field: impl Into<String>,
        kind: FieldErrorKind,
        value: impl Into<Value>,
        message: impl Into<String>,
    ) -> Self {
        Self {
            field: field.into(),
            kind,
            value: value.into(),
            message: message.into(),
        }
    }
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.body())
    }
}

impl std::error::Error for FieldError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_read_like_upstream() {
        for (error, expected) in [
            (
                FieldError::required("spec.identity", "name the user"),
                "spec.identity: Required value: name the user",
            ),
            (
                FieldError::invalid("spec.priority", 9000, "too big"),
                "spec.priority: Invalid value: 9000: too big",
            ),
            (
                FieldError::not_supported("spec.workType", "lunch", &["build", "job"]),
                r#"spec.workType: Unsupported value: "lunch": supported values: "build", "job""#,
            ),
            (
                FieldError::duplicate("a[1]", "x"),
                r#"a[1]: Duplicate value: "x""#,
            ),
            (
                FieldError::forbidden("spec.job", "not here"),
                "spec.job: Forbidden: not here",
            ),
            (
                FieldError::too_long("spec.a", 300, 253),
                "spec.a: Too long: may not be more than 253 bytes, it has 300",
            ),
            (
                FieldError::too_many("spec.manifests", 65, 64),
                "spec.manifests: Too many: 65: must have at most 64 items",
            ),
        ] {
            assert_eq!(error.to_string(), expected);
        }
    }

    #[test]
    fn reasons_are_those_of_upstream_causes() {
        assert_eq!(FieldError::required("a", "").reason(), "FieldValueRequired");
        assert_eq!(FieldError::too_many("a", 2, 1).reason(), "FieldValueTooMany");
    }
}
