//! The version of an object, a list or an event: a decimal integer that only grows.
//!
//! Upstream concept: "resource versions" of the API conventions. `0` on a request means "any"; it is
//! never the version of anything stored.

use std::fmt;
use std::str::FromStr;

/// The bits of a version below the epoch.
pub(crate) const EPOCH_SHIFT: u32 = 40;

/// A version drawn from the one sequence of the database; always above zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ResourceVersion(u64);

/// The text is not a version: not a decimal integer without sign and leading zeros.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("resourceVersion must be a decimal integer without sign or leading zeros")]
pub struct InvalidResourceVersion;

impl ResourceVersion {
    /// Before every stored version; used only as the exclusive start of a range.
    pub const ZERO: Self = Self(0);

    /// The version with this number.
    #[must_use]
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// Which history of the database it belongs to; rises with a restore or a failover.
    #[must_use]
    pub const fn epoch(self) -> u64 {
        self.0 >> EPOCH_SHIFT
    }

    /// Its place within the epoch.
    #[must_use]
    pub const fn count(self) -> u64 {
        self.0 & ((1 << EPOCH_SHIFT) - 1)
    }

    /// The number as PostgreSQL's bigint.
    #[must_use]
    pub const fn as_i64(self) -> i64 {
        // Versions stay below 2^53: the epoch is in the bits from 40 upwards.
        self.0.cast_signed()
    }
}

impl fmt::Display for ResourceVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for ResourceVersion {
    type Err = InvalidResourceVersion;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let plain = text.bytes().all(|b| b.is_ascii_digit()) && (text.len() == 1 || !text.starts_with('0'));
        if text.is_empty() || !plain {
            return Err(InvalidResourceVersion);
        }
        let number: u64 = text.parse().map_err(|_| InvalidResourceVersion)?;
        i64::try_from(number).map_err(|_| InvalidResourceVersion)?;
        Ok(Self(number))
    }
}
