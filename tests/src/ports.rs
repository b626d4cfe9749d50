//! Free ports for processes that a test starts, and may start again.

use std::net::{IpAddr, TcpListener};
use std::ops::Range;

/// Below the range from which Linux takes the source ports of outgoing connections, so that none of them takes
/// the port before the process does, or while it is away.
const PORTS: Range<u16> = 15_000..32_000;

/// A free TCP port of an address of this machine.
///
/// # Panics
/// When a hundred that were drawn are all taken.
#[must_use]
pub fn free_port(ip: IpAddr) -> u16 {
    let drawn = std::iter::repeat_with(|| PORTS.start + random() % (PORTS.end - PORTS.start));
    let mut free = drawn
        .take(100)
        .filter(|port| TcpListener::bind((ip, *port)).is_ok());
    free.next().expect("a free port")
}

fn random() -> u16 {
    let [one, other, ..] = uuid::Uuid::new_v4().into_bytes();
    u16::from_be_bytes([one, other])
}
