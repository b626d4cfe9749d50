//! The queue on a real PostgreSQL: claims, renewals, reports, what time does, and who is woken.

mod claim;
mod complete;
mod fixture;
mod order;
