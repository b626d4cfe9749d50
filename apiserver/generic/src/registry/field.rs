//! An invalid field: which one, what is wrong with it.
//!
//! Upstream concept: `k8s.io/apimachinery/pkg/util/validation/field`.

use std::fmt;

/// What is wrong with a field; the name is the cause's reason on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldErrorType {
    /// `FieldValueNotFound`
    NotFound,
    /// `FieldValueRequired`
    Required,
    /// `FieldValueDuplicate`
    Duplicate,
    /// `FieldValueInvalid`
    Invalid,
    /// `FieldValueNotSupported`
    NotSupported,
    /// `FieldValueForbidden`
    Forbidden,
    /// `FieldValueTooLong`
    TooLong,
    /// `FieldValueTooMany`
    TooMany,
    /// `FieldValueTypeInvalid`
    TypeInvalid,
    /// `InternalError`
    Internal,
}

impl FieldErrorType {
    /// The cause's reason on the wire.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::NotFound => "FieldValueNotFound",
            Self::Required => "FieldValueRequired",
            Self::Duplicate => "FieldValueDuplicate",
            Self::Invalid => "FieldValueInvalid",
            Self::NotSupported => "FieldValueNotSupported",
            Self::Forbidden => "FieldValueForbidden",
            Self::TooLong => "FieldValueTooLong",
            Self::TooMany => "FieldValueTooMany",
            Self::TypeInvalid => "FieldValueTypeInvalid",
            Self::Internal => "InternalError",
        }
    }
}

/// One invalid field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldError {
    /// The field's path, such as `spec.manifests[0].kind`.
    pub field: String,
    /// What is wrong.
    pub error_type: FieldErrorType,
    /// The whole message without the field, such as `Invalid value: 30: must be at most 25`.
    pub message: String,
}

impl FieldError {
    /// A field that has an unacceptable value.
    pub fn invalid(field: impl Into<String>, value: impl fmt::Display, detail: impl fmt::Display) -> Self {
        Self::new(
            field,
            FieldErrorType::Invalid,
            format!("Invalid value: {value}: {detail}"),
        )
    }

    /// A field that must be given.
    pub fn required(field: impl Into<String>, detail: impl fmt::Display) -> Self {
        Self::new(
            field,
            FieldErrorType::Required,
            format!("Required value: {detail}"),
        )
    }

    /// A field that must not be given, or not by this caller.
    pub fn forbidden(field: impl Into<String>, detail: impl fmt::Display) -> Self {
        Self::new(field, FieldErrorType::Forbidden, format!("Forbidden: {detail}"))
    }

    /// Any field error; `message` starts with the words of its type.
    pub fn new(field: impl Into<String>, error_type: FieldErrorType, message: String) -> Self {
        Self {
            field: field.into(),
            error_type,
            message,
        }
    }
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.message)
    }
}
