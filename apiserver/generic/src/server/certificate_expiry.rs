//! Says in the log that the serving certificate is about to end, early enough for a person to act.
//!
//! kube-apiserver refuses a server whose certificate is over, and the whole group becomes unavailable with
//! it. Whatever renews certificates does so long before: cert-manager with a third of the lifetime left.
//! So a warning here means that renewing has failed. What is left out: renewing.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls::pki_types::CertificateDer;
use x509_parser::prelude::{FromDer, X509Certificate};

/// The warning begins this long before the end, or when a fifth of a shorter lifetime is left.
const WARNING_SECONDS_MAX: i64 = 14 * 24 * 60 * 60;

/// Said again after this long, so that it is in whatever is kept of the log.
const REPEAT: Duration = Duration::from_secs(24 * 60 * 60);

/// When a certificate is valid, in seconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ValidityPeriod {
    not_before: i64,
    not_after: i64,
}

/// How near the end is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Good,
    Ending,
    Over,
}

/// Remembers what was said last.
#[derive(Debug, Default)]
pub(super) struct Reminder {
    said: Option<(Standing, SystemTime)>,
}

impl ValidityPeriod {
    /// Reads it from a certificate.
    pub(super) fn of(certificate: &CertificateDer<'_>) -> Result<Self, String> {
        let (_, certificate) =
            X509Certificate::from_der(certificate).map_err(|error| format!("not X.509: {error}"))?;
        let validity = certificate.validity();
        Ok(Self {
            not_before: validity.not_before.timestamp(),
            not_after: validity.not_after.timestamp(),
        })
    }

    /// The last moment, in seconds since 1970.
    pub(super) const fn ends(self) -> f64 {
        self.not_after as f64
    }

    fn seconds_left(self, now: SystemTime) -> i64 {
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        self.not_after
            .saturating_sub(i64::try_from(now).unwrap_or(i64::MAX))
    }

    fn standing(self, now: SystemTime) -> Standing {
        let lifetime = self.not_after.saturating_sub(self.not_before);
        let warning = (lifetime / 5).min(WARNING_SECONDS_MAX);
        match self.seconds_left(now) {
            ..=0 => Standing::Over,
            left if left <= warning => Standing::Ending,
            _ => Standing::Good,
        }
    }
}

impl Reminder {
    /// Writes a line if the certificate nears its end and that was not said within the last day.
    pub(super) fn look(&mut self, validity: ValidityPeriod) {
        let now = SystemTime::now();
        let hours_left = validity.seconds_left(now) / 3600;
        match self.due(validity, now) {
            Some(Standing::Ending) => {
                tracing::warn!(
                    hours_left,
                    "the serving certificate ends soon and was not renewed; issue it again"
                );
            }
            Some(Standing::Over) => {
                tracing::error!(
                    "the serving certificate is over: kube-apiserver refuses this server; issue it again"
                );
            }
            Some(Standing::Good) | None => {}
        }
    }

    /// What is to be said now.
    fn due(&mut self, validity: ValidityPeriod, now: SystemTime) -> Option<Standing> {
        let standing = validity.standing(now);
        let recent = |at: SystemTime| now.duration_since(at).is_ok_and(|age| age < REPEAT);
        if self.said.is_some_and(|(said, at)| said == standing && recent(at)) {
            return None;
        }
        self.said = Some((standing, now));
        Some(standing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 24 * 60 * 60;

    fn at(seconds: i64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds.unsigned_abs())
    }

    fn lasting(days: i64) -> ValidityPeriod {
        ValidityPeriod {
            not_before: 0,
            not_after: days * DAY,
        }
    }

    #[test]
    fn warning_begins_two_weeks_before_the_end_or_with_a_fifth_of_a_shorter_life() {
        for (days, begins) in [(365, 351), (90, 76), (70, 56), (10, 8), (1, 1)] {
            let validity = lasting(days);
            let begins = if days == 1 { DAY - DAY / 5 } else { begins * DAY };
            assert_eq!(validity.standing(at(begins - 1)), Standing::Good, "{days} days");
            assert_eq!(validity.standing(at(begins)), Standing::Ending, "{days} days");
            assert_eq!(validity.standing(at(days * DAY)), Standing::Over, "{days} days");
        }
    }

    #[test]
    fn same_standing_is_said_once_a_day_and_a_change_at_once() {
        let (mut reminder, validity) = (Reminder::default(), lasting(365));
        assert_eq!(reminder.due(validity, at(355 * DAY)), Some(Standing::Ending));
        assert_eq!(reminder.due(validity, at(356 * DAY - 1)), None);
        assert_eq!(reminder.due(validity, at(356 * DAY)), Some(Standing::Ending));
        // Renewed in time, and then forgotten for good.
        assert_eq!(reminder.due(lasting(700), at(357 * DAY)), Some(Standing::Good));
        assert_eq!(reminder.due(validity, at(366 * DAY)), Some(Standing::Over));
    }
}
