//! A proxy before PostgreSQL that loses what a test wants lost, a request or the answer to one, and that
//! leads to another server when a test wants it, as an address does that moves with a failover.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};
use sqlx::postgres::PgConnectOptions;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};

/// What is lost of a request and its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// The server never sees the request; the client waits.
    Request,
    /// The server has answered; the client waits.
    Answer,
    /// The server has answered; the client's connection ends.
    Connection,
}

#[derive(Debug, Default)]
struct Trap {
    request: Mutex<Option<(&'static [u8], Loss)>>,
    sprung: AtomicBool,
}

/// Where new connections lead.
type Target = Arc<Mutex<Option<PathBuf>>>;

/// A proxy on a socket of its own. It ends with this value.
#[derive(Debug)]
pub struct Proxy {
    directory: PathBuf,
    target: Target,
    connect: PgConnectOptions,
    trap: Arc<Trap>,
    task: tokio::task::JoinHandle<()>,
}

impl Proxy {
    /// Passes everything on to the server, which listens on a Unix socket.
    ///
    /// # Errors
    /// When the server is elsewhere, or no socket can be created.
    pub fn before(server: &PgConnectOptions) -> Result<Self> {
        let directory = std::env::temp_dir().join(format!("test-proxy-{}", uuid::Uuid::new_v4().simple()));
        std::fs::create_dir(&directory)?;
        let server_socket = socket(server)?;
        let listener = UnixListener::bind(directory.join(server_socket.file_name().unwrap_or_default()))?;
        let target = Target::new(Mutex::new(Some(server_socket)));
        let trap = Arc::new(Trap::default());
        let connect = server.clone().socket(&directory);
        let task = tokio::spawn(accept(listener, Arc::clone(&target), Arc::clone(&trap)));
        Ok(Self {
            directory,
            target,
            connect,
            trap,
            task,
        })
    }

    /// How to connect through it.
    #[must_use]
    pub fn connect_options(&self) -> PgConnectOptions {
        self.connect.clone()
    }

    /// Leads new connections to another server, or to none.
    ///
    /// # Errors
    /// When the server does not listen on a Unix socket.
    pub fn lead_to(&self, server: Option<&PgConnectOptions>) -> Result<()> {
        let target = server.map(socket).transpose()?;
        *self.target.lock().unwrap_or_else(PoisonError::into_inner) = target;
        Ok(())
    }

    /// The next request with this text is treated so.
    pub fn lose(&self, loss: Loss, request: &'static str) {
        *self.trap.request.lock().unwrap_or_else(PoisonError::into_inner) = Some((request.as_bytes(), loss));
    }

    /// Whether such a request has come.
    #[must_use]
    pub fn has_lost(&self) -> bool {
        self.trap.sprung.load(Ordering::SeqCst)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
        // Nothing but a file in the temporary directory is left if this fails.
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

fn socket(server: &PgConnectOptions) -> Result<PathBuf> {
    let folder = server
        .get_socket()
        .context("the server listens on a Unix socket")?;
    Ok(folder.join(format!(".s.PGSQL.{}", server.get_port())))
}

async fn accept(listener: UnixListener, target: Target, trap: Arc<Trap>) {
    while let Ok((client, _)) = listener.accept().await {
        let target = target.lock().unwrap_or_else(PoisonError::into_inner).clone();
        // Without the server, the client finds its connection closed.
        if let Some(target) = target
            && let Ok(server) = UnixStream::connect(&target).await
        {
            tokio::spawn(pass(client, server, Arc::clone(&trap)));
        }
    }
}

async fn pass(mut client: UnixStream, mut server: UnixStream, trap: Arc<Trap>) {
    let (mut up, mut down) = (vec![0; 65536], vec![0; 65536]);
    let mut caught = None;
    loop {
        tokio::select! {
            read = client.read(&mut up) => {
                let Ok(count @ 1..) = read else { return };
                caught = caught.or_else(|| trap.catches(&up[..count]));
                if caught == Some(Loss::Request) { continue }
                if server.write_all(&up[..count]).await.is_err() { return }
            }
            read = server.read(&mut down) => {
                let Ok(count @ 1..) = read else { return };
                match caught {
                    Some(Loss::Request | Loss::Answer) => {}
                    Some(Loss::Connection) => return,
                    None => if client.write_all(&down[..count]).await.is_err() { return },
                }
            }
        }
    }
}

impl Trap {
    fn catches(&self, request: &[u8]) -> Option<Loss> {
        let mut wanted = self.request.lock().unwrap_or_else(PoisonError::into_inner);
        let (text, loss) = (*wanted)?;
        if !request.windows(text.len()).any(|window| window == text) {
            return None;
        }
        *wanted = None;
        self.sprung.store(true, Ordering::SeqCst);
        Some(loss)
    }
}
