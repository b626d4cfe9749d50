//! The queue on a real PostgreSQL: claims, renewals, reports, what time does, and who is woken.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod ask;
mod claim;
mod complete;
mod crash;
mod ending;
mod faults;
mod fixture;
mod forget;
mod history;
mod late;
mod lease;
mod limited;
mod metrics;
mod order;
mod outage;
mod plan;
mod request;
mod ring;
mod serving;
mod time;
mod together;
mod wake;
