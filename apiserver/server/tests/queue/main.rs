//! The queue on a real PostgreSQL: claims, renewals, reports, what time does, and who is woken.

mod claim;
mod complete;
mod fixture;
mod lease;
mod order;
mod request;
mod ring;
mod time;
