//! Accepts connections, bounded in number, until the server drains.

use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::task::TaskTracker;

use super::handler_chain::HandlerChain;
use super::secure_serving::SecureServing;
use super::{Phases, connection};

/// Pause after the system refused a connection, mostly for want of file descriptors, which only others
/// closing can give back.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A listening socket and what its connections need.
pub(super) struct Listener {
    pub(super) tcp: TcpListener,
    pub(super) tls: Arc<SecureServing>,
    pub(super) chain: Arc<HandlerChain>,
    pub(super) connections: TaskTracker,
    pub(super) connections_max: usize,
    pub(super) phases: Phases,
}

impl Listener {
    /// Accepts until the server drains. At the bound, new connections wait in the system's queue.
    pub(super) async fn accept(self) {
        let places = Arc::new(Semaphore::new(self.connections_max));
        let draining = self.phases.draining.clone();
        loop {
            let next = async {
                // Never closed, so it always gives a place in the end.
                let place = Arc::clone(&places).acquire_owned().await.ok()?;
                Some((place, self.tcp.accept().await))
            };
            let next = tokio::select! {
                () = draining.cancelled() => return,
                next = next => next,
            };
            match next {
                Some((place, Ok((stream, _address)))) => self.spawn(stream, place),
                Some((_place, Err(error))) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
                None => return,
            }
        }
    }

    fn spawn(&self, stream: TcpStream, place: OwnedSemaphorePermit) {
        let config = self.tls.config();
        let chain = Arc::clone(&self.chain);
        let phases = self.phases.clone();
        self.connections.spawn(async move {
            if let Err(error) = connection::serve(stream, config, chain, phases).await {
                // Scanners and broken clients are everyday; nobody needs to act.
                tracing::debug!(%error, "a connection ended early");
            }
            drop(place);
        });
    }
}
