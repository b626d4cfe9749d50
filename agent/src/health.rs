//! What a kubelet's probes are told: whether the process should be replaced, and whether it does its work.
//!
//! *Alive* asks nobody. A loop that goes round says each time by when it will again; one that is late stands still, and
//! nothing but a new process helps. *Ready* is what the hub's condition Ready says of the Agent, seen from here: a
//! renewal was answered within a lease. A hub that is away makes a process unready, never dead: another one would be no
//! nearer to it, and the runs are watched by this one.

use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use tokio::time::Instant;

use crate::cluster::locked;

/// The most that a loop does between two beats beside resting: renewing a thousand claims, the most there are, in calls
/// of a hundred that all run into their timeout of 7 s, and as much again.
const ROUND_MAX: Duration = Duration::from_secs(140);

/// Why a probe fails.
pub type Complaint = &'static str;

/// What the loops leave for the probes to see.
#[derive(Debug, Default)]
pub struct Health {
    /// The loop that claims.
    pub claiming: Pulse,
    /// The loop that renews.
    pub renewing: Pulse,
    first_renewed: OnceLock<Instant>,
    renewed: Mutex<Option<Instant>>,
}

/// The beat of one loop.
#[derive(Debug, Default)]
pub struct Pulse {
    /// By when the next one is due; none while the loop is not to go round.
    due: Mutex<Option<Instant>>,
}

impl Pulse {
    /// The loop goes round, and will again once it has rested for at most so long.
    pub fn beat(&self, rest: Duration) {
        *locked(&self.due) = Some(Instant::now() + rest + ROUND_MAX);
    }

    /// The loop has ended, as it was told to.
    pub fn end(&self) {
        *locked(&self.due) = None;
    }

    fn stands_still(&self) -> bool {
        locked(&self.due).is_some_and(|due| due < Instant::now())
    }
}

impl Health {
    /// The hub has answered a renewal, with claims or without.
    pub fn renewed(&self) {
        let now = Instant::now();
        self.first_renewed.get_or_init(|| now);
        *locked(&self.renewed) = Some(now);
    }

    /// When the hub answered for the first time; None if it has not yet.
    pub fn first_renewed(&self) -> Option<Instant> {
        self.first_renewed.get().copied()
    }

    /// Whether every loop goes round.
    ///
    /// # Errors
    ///
    /// Which one does not.
    pub fn alive(&self) -> Result<(), Complaint> {
        if self.claiming.stands_still() {
            return Err("the loop that claims orders stands still");
        }
        if self.renewing.stands_still() {
            return Err("the loop that renews claims stands still");
        }
        Ok(())
    }

    /// Whether the hub has this process for a living agent, whose leases have the given length.
    ///
    /// # Errors
    ///
    /// If no renewal was answered within a lease.
    pub fn in_touch(&self, lease: Duration) -> Result<(), Complaint> {
        match *locked(&self.renewed) {
            Some(renewed) if renewed.elapsed() <= lease => Ok(()),
            Some(_) => Err("the hub has not answered a renewal for as long as a lease"),
            None => Err("the hub has not answered a renewal yet"),
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn loop_that_is_late_is_named_until_it_beats_again_or_ends() {
        let health = Health::default();
        assert_eq!(health.alive(), Ok(()), "none was to go round yet");
        let rest = Duration::from_secs(3600);
        health.claiming.beat(rest);
        health.renewing.beat(Duration::ZERO);
        advance(ROUND_MAX).await;
        assert_eq!(health.alive(), Ok(()));
        advance(Duration::from_millis(1)).await;
        assert!(health.alive().is_err_and(|why| why.contains("renews")));
        health.renewing.beat(rest * 2);
        advance(rest).await;
        assert!(health.alive().is_err_and(|why| why.contains("claims orders")));
        health.claiming.end();
        assert_eq!(health.alive(), Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn process_is_in_touch_for_a_lease_after_a_renewal() {
        let (health, lease) = (Health::default(), Duration::from_secs(60));
        assert!(health.in_touch(lease).is_err_and(|why| why.contains("yet")));
        health.renewed();
        advance(lease).await;
        assert_eq!(health.in_touch(lease), Ok(()));
        advance(Duration::from_millis(1)).await;
        assert!(health.in_touch(lease).is_err_and(|why| why.contains("lease")));
        health.renewed();
        assert_eq!(health.in_touch(lease), Ok(()));
    }
}
