//! Keeping claims alive: all of them in one call, three times in a lease, and what the answer says about each.
//!
//! The answer also lists every claim the agent holds on the hub. One that this process does not know was granted in an
//! answer that got lost, or to an earlier process; [`Renewer::renew`] hands it back to be adopted.

use std::time::Duration;

use brokkr_apis::work::v1alpha1::{AgentRenewalItem, AgentRenewalResult, HeldClaim};
use tokio::time::Instant;
use tracing::{debug, info, warn};

use crate::claim::ClaimTable;
use crate::health::Health;
use crate::hub::{Hub, HubError};
use crate::metrics::RenewalResult;

/// The most items the hub takes in one call.
const BATCH_MAX: usize = 100;

/// How soon a renewal that failed is tried again.
const RETRY_DELAY: Duration = Duration::from_secs(2);

/// Which claims are renewed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Every claim.
    All,
    /// Those with progress that must not wait.
    Progress,
}

/// Renews the claims of a table.
#[derive(Debug)]
pub struct Renewer<'a> {
    hub: &'a Hub,
    claims: &'a ClaimTable,
    health: &'a Health,
    next_renewal: Instant,
    not_before: Instant,
}

impl<'a> Renewer<'a> {
    /// A renewer whose first renewal is due at once.
    pub fn new(hub: &'a Hub, claims: &'a ClaimTable, health: &'a Health) -> Self {
        let now = Instant::now();
        Self {
            hub,
            claims,
            health,
            next_renewal: now,
            not_before: now,
        }
    }

    /// Waits until something is to be renewed, and says what.
    pub async fn due(&self) -> Scope {
        loop {
            let progress_due = self.claims.progress_due().map(|due| due.max(self.not_before));
            let next = progress_due.map_or(self.next_renewal, |due| due.min(self.next_renewal));
            tokio::select! {
                // New progress may be due earlier than what was waited for.
                () = self.claims.progress_reported() => {}
                () = tokio::time::sleep_until(next) => {
                    return if next == self.next_renewal { Scope::All } else { Scope::Progress };
                }
            }
        }
    }

    /// How long [`due`](Self::due) waits at most.
    pub fn rest(&self) -> Duration {
        self.next_renewal.saturating_duration_since(Instant::now())
    }

    /// Renews, tells runs what concerns them, and returns the claims nobody here knows. `lease` is the agent's, which
    /// says how soon it is heard of again while nothing is held.
    pub async fn renew(&mut self, scope: Scope, lease: Duration) -> Vec<HeldClaim> {
        let now = Instant::now();
        let mut items = self.claims.renewals(scope == Scope::All, now);
        if scope == Scope::Progress && items.is_empty() {
            return Vec::new();
        }
        if scope == Scope::All {
            let lease = self.claims.shortest_lease().map_or(lease, |held| held.min(lease));
            self.next_renewal = now + lease / 3;
        }
        let mut listed = Vec::new();
        // One call even without items: the answer still lists the claims.
        loop {
            let rest = items.split_off(items.len().min(BATCH_MAX));
            if let Some(claims) = self.renew_batch(items).await {
                listed = claims;
            }
            items = rest;
            if items.is_empty() {
                return self.claims.unknown(&listed);
            }
        }
    }

    /// One call. None if it failed; the claims in it are then due again soon.
    async fn renew_batch(&mut self, items: Vec<AgentRenewalItem>) -> Option<Vec<HeldClaim>> {
        let status = match self.hub.renew(&items).await {
            Ok(status) => status,
            Err(error) => {
                self.batch_failed(items, &error);
                return None;
            }
        };
        self.health.renewed();
        debug!(
            renewed = items.len(),
            claims = status.claims.len(),
            "claims renewed"
        );
        for (item, result) in items.into_iter().zip(status.items) {
            self.settle(item, &result, &status.claims);
        }
        Some(status.claims)
    }

    fn batch_failed(&mut self, items: Vec<AgentRenewalItem>, error: &HubError) {
        warn!(claims = items.len(), %error, "claims could not be renewed; their work goes on");
        for item in items {
            self.hub.metrics().renewal(RenewalResult::Failed);
            self.claims.not_sent(item);
        }
        self.try_again_soon();
    }

    fn try_again_soon(&mut self) {
        self.not_before = Instant::now() + RETRY_DELAY;
        self.next_renewal = self.next_renewal.min(self.not_before);
    }

    /// Acts on the answer for one claim.
    fn settle(&mut self, item: AgentRenewalItem, result: &AgentRenewalResult, listed: &[HeldClaim]) {
        let order = || format!("{}/{}", item.namespace, item.name);
        match result.code {
            200..=299 => {
                self.hub.metrics().renewal(RenewalResult::Renewed);
                if let Some(cancel) = &result.cancel
                    && self.claims.cancel(&item.uid, item.fence, &cancel.reason)
                {
                    info!(
                        order = order(),
                        reason = cancel.reason,
                        "the end of the order was asked for"
                    );
                }
            }
            404 | 409 => {
                self.hub.metrics().renewal(RenewalResult::Gone);
                let other_process =
                    |claim: &HeldClaim| claim.uid == item.uid && claim.holder != self.hub.holder();
                let taken_over = listed.iter().any(other_process);
                warn!(
                    order = order(),
                    taken_over,
                    message = result.message,
                    "the claim is gone"
                );
                self.claims.lost(&item.uid, item.fence, taken_over);
            }
            code => {
                self.hub.metrics().renewal(RenewalResult::Failed);
                warn!(
                    order = order(),
                    code,
                    message = result.message,
                    "the claim was not renewed"
                );
                self.claims.not_sent(item);
                self.try_again_soon();
            }
        }
    }
}
