//! A token bucket: so many at once, so many per second after that.

use std::time::{Duration, Instant};

/// A bucket that fills with time.
#[derive(Debug)]
pub(super) struct TokenBucket {
    capacity: f64,
    per_second: f64,
    tokens: f64,
    filled_at: Instant,
}

impl TokenBucket {
    /// A full bucket.
    pub(super) fn new(capacity: u32, per_second: u32, now: Instant) -> Self {
        let capacity = f64::from(capacity);
        Self {
            capacity,
            per_second: f64::from(per_second),
            tokens: capacity,
            filled_at: now,
        }
    }

    /// Takes a token, if there is one.
    pub(super) fn take(&mut self, now: Instant) -> bool {
        let passed: Duration = now.saturating_duration_since(self.filled_at);
        self.tokens = (self.tokens + passed.as_secs_f64() * self.per_second).min(self.capacity);
        self.filled_at = now;
        let granted = self.tokens >= 1.0;
        if granted {
            self.tokens -= 1.0;
        }
        granted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_granted_and_then_the_rate() {
        let start = Instant::now();
        let mut bucket = TokenBucket::new(3, 2, start);
        let granted = |bucket: &mut TokenBucket, after: u64| {
            let now = start + Duration::from_millis(after);
            (0..10).filter(|_| bucket.take(now)).count()
        };
        assert_eq!(granted(&mut bucket, 0), 3);
        assert_eq!(granted(&mut bucket, 400), 0);
        assert_eq!(granted(&mut bucket, 1000), 2);
        assert_eq!(granted(&mut bucket, 60_000), 3);
    }
}
