//! A proxy before PostgreSQL that can lose an answer: the request reaches the server, its answer nobody.
//! It is lost with its connection, or for as long as the client waits.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use sqlx::postgres::PgConnectOptions;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};

#[derive(Default)]
struct Trap {
    request: Mutex<Option<&'static [u8]>>,
    sprung: AtomicBool,
    /// The connection stays open when its answer is lost.
    holds: AtomicBool,
}

pub(crate) struct Proxy {
    directory: PathBuf,
    connect: PgConnectOptions,
    trap: Arc<Trap>,
    task: tokio::task::JoinHandle<()>,
}

impl Proxy {
    /// Listens on a socket of its own and passes everything on to the server.
    pub(crate) fn before(server: &PgConnectOptions) -> Self {
        let directory = std::env::temp_dir().join(format!("test-proxy-{}", uuid::Uuid::new_v4().simple()));
        std::fs::create_dir(&directory).unwrap();
        let socket = format!(".s.PGSQL.{}", server.get_port());
        let target = server
            .get_socket()
            .expect("tests use a unix socket")
            .join(&socket);
        let listener = UnixListener::bind(directory.join(&socket)).unwrap();
        let trap = Arc::new(Trap::default());
        let connect = server.clone().socket(&directory);
        let task = tokio::spawn(accept(listener, target, Arc::clone(&trap)));
        Self {
            directory,
            connect,
            trap,
            task,
        }
    }

    pub(crate) fn connect_options(&self) -> PgConnectOptions {
        self.connect.clone()
    }

    /// The next request with this text is passed on; its connection ends when the server has answered.
    pub(crate) fn swallow_the_next_answer_to(&self, request: &'static str) {
        *self.trap.request.lock().unwrap() = Some(request.as_bytes());
    }

    /// The next request with this text is passed on; its connection hears nothing more.
    pub(crate) fn hold_the_next_answer_to(&self, request: &'static str) {
        self.trap.holds.store(true, Ordering::SeqCst);
        self.swallow_the_next_answer_to(request);
    }

    pub(crate) fn swallowed(&self) -> bool {
        self.trap.sprung.load(Ordering::SeqCst)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
        std::fs::remove_dir_all(&self.directory).unwrap();
    }
}

async fn accept(listener: UnixListener, target: PathBuf, trap: Arc<Trap>) {
    while let Ok((client, _)) = listener.accept().await {
        let server = UnixStream::connect(&target).await.unwrap();
        tokio::spawn(pass(client, server, Arc::clone(&trap)));
    }
}

async fn pass(mut client: UnixStream, mut server: UnixStream, trap: Arc<Trap>) {
    let (mut up, mut down) = (vec![0; 65536], vec![0; 65536]);
    let mut caught = false;
    loop {
        tokio::select! {
            read = client.read(&mut up) => {
                let Ok(count @ 1..) = read else { return };
                caught |= trap.catches(&up[..count]);
                if server.write_all(&up[..count]).await.is_err() { return }
            }
            read = server.read(&mut down) => {
                let Ok(count @ 1..) = read else { return };
                if caught && trap.holds.load(Ordering::SeqCst) { continue }
                if caught || client.write_all(&down[..count]).await.is_err() { return }
            }
        }
    }
}

impl Trap {
    fn catches(&self, request: &[u8]) -> bool {
        let mut wanted = self.request.lock().unwrap();
        let found = wanted.is_some_and(|wanted| request.windows(wanted.len()).any(|window| window == wanted));
        if found {
            *wanted = None;
            self.sprung.store(true, Ordering::SeqCst);
        }
        found
    }
}
