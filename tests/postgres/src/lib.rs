//! A private PostgreSQL cluster for tests, on a Unix socket in a temporary directory.
//!
//! [`TestPostgres::shared`] is one cluster per test binary; each test takes a database of its own from
//! it. [`TestPostgres::start`] is a cluster for one test, which may stop, kill and start it. The server
//! ends, and its directory goes, when the test process ends in whatever way. With `DATABASE_URL` set,
//! the shared cluster is the server named there.
//!
//! What this leaves out: migrations; the caller runs those it needs.

mod cluster;
mod proxy;

use std::str::FromStr;
use std::sync::OnceLock;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, Connection};

use cluster::Cluster;
pub use cluster::Durability;
pub use proxy::{Loss, Proxy};

/// A PostgreSQL server for tests.
#[derive(Debug)]
pub struct TestPostgres {
    cluster: Option<Cluster>,
    connect: PgConnectOptions,
}

impl TestPostgres {
    /// The cluster of this test binary, started on first use; its writes are not flushed to disk.
    ///
    /// # Panics
    /// When PostgreSQL cannot be started: no test of this binary can run then.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<TestPostgres> = OnceLock::new();
        SHARED.get_or_init(|| Self::from_environment().expect("tests need PostgreSQL"))
    }

    /// Starts a cluster for one test.
    ///
    /// # Errors
    /// When PostgreSQL's programs are missing or the server does not come up.
    pub fn start(durability: Durability) -> Result<Self> {
        let cluster = Cluster::start(durability)?;
        let connect = cluster.connect_options();
        Ok(Self {
            cluster: Some(cluster),
            connect,
        })
    }

    fn from_environment() -> Result<Self> {
        match std::env::var("DATABASE_URL") {
            Ok(url) => Ok(Self {
                cluster: None,
                connect: PgConnectOptions::from_str(&url)?,
            }),
            Err(_) => Self::start(Durability::None),
        }
    }

    /// How to connect to the maintenance database.
    #[must_use]
    pub fn connect_options(&self) -> PgConnectOptions {
        self.connect.clone()
    }

    /// Creates an empty database; it is dropped with the value returned.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn create_database(&self) -> Result<TestDatabase> {
        self.create(None).await
    }

    /// Creates a copy of a database to which nobody is connected.
    ///
    /// # Errors
    /// When the server refuses, for one because somebody is connected to the template.
    pub async fn create_database_from(&self, template: &TestDatabase) -> Result<TestDatabase> {
        self.create(Some(template)).await
    }

    async fn create(&self, template: Option<&TestDatabase>) -> Result<TestDatabase> {
        let name = format!("test_{}", uuid::Uuid::new_v4().simple());
        let template = template
            .map(|t| format!(" template {}", t.name))
            .unwrap_or_default();
        let mut connection = PgConnection::connect_with(&self.connect).await?;
        sqlx::query(AssertSqlSafe(format!("create database {name}{template}")))
            .execute(&mut connection)
            .await?;
        // A private cluster goes as a whole; databases on somebody's server are dropped one by one.
        let drop_through = self.cluster.is_none().then(|| self.connect.clone());
        Ok(TestDatabase {
            connect: self.connect.clone().database(&name),
            name,
            drop_through,
        })
    }

    /// Stops the server as an operator does (`pg_ctl stop -m fast`): sessions are cut off.
    ///
    /// # Errors
    /// When this is not a private cluster.
    pub fn stop(&mut self) -> Result<()> {
        self.private()?.stop("INT")
    }

    /// Kills the server with all its processes (SIGKILL), as a power cut does.
    ///
    /// # Errors
    /// When this is not a private cluster.
    pub fn kill(&mut self) -> Result<()> {
        self.private()?.stop("KILL")
    }

    /// Starts the server again after [`Self::stop`] or [`Self::kill`].
    ///
    /// # Errors
    /// When it does not come up.
    pub fn restart(&mut self) -> Result<()> {
        self.private()?.run(Duration::from_secs(30))
    }

    /// Freezes the server with all its processes, as a machine that hangs: connections stay open, and
    /// nobody answers.
    ///
    /// # Errors
    /// When this is not a private cluster, or it does not run.
    pub fn freeze(&mut self) -> Result<()> {
        self.private()?.signal_all("STOP")
    }

    /// Freezes one of the server's own processes, named as in `pg_stat_activity.backend_type`.
    ///
    /// # Errors
    /// When this is not a private cluster, or no such process runs.
    pub async fn freeze_process(&self, backend_type: &str) -> Result<()> {
        ensure!(self.cluster.is_some(), "somebody's server is not frozen");
        let mut connection = PgConnection::connect_with(&self.connect).await?;
        let pid: i32 = sqlx::query_scalar("select pid from pg_stat_activity where backend_type = $1")
            .bind(backend_type)
            .fetch_one(&mut connection)
            .await?;
        cluster::send("STOP", &pid.to_string())
    }

    /// Lets a frozen server go on.
    ///
    /// # Errors
    /// When this is not a private cluster, or it does not run.
    pub fn thaw(&mut self) -> Result<()> {
        self.private()?.signal_all("CONT")
    }

    /// Keeps a copy of the files of a server that does not run, as a snapshot of the disk does; it takes
    /// the place of an earlier one.
    ///
    /// # Errors
    /// When this is not a private cluster, or the files cannot be copied.
    pub fn copy_files(&mut self) -> Result<()> {
        self.private()?.copy_data()
    }

    /// Puts the copy of [`Self::copy_files`] in the place of the files: what was written since is lost.
    ///
    /// # Errors
    /// When the server runs, or there is no copy.
    pub fn restore_files(&mut self) -> Result<()> {
        self.private()?.restore_data()
    }

    /// Starts a standby that streams from this cluster, and waits until it answers.
    ///
    /// # Errors
    /// When this is not a private cluster, or the standby does not come up.
    pub fn standby(&mut self) -> Result<Self> {
        let cluster = self.private()?.standby()?;
        let connect = cluster.connect_options();
        Ok(Self {
            cluster: Some(cluster),
            connect,
        })
    }

    /// Makes a standby the primary of a new timeline.
    ///
    /// # Errors
    /// When it is none.
    pub async fn promote(&self) -> Result<()> {
        let mut connection = PgConnection::connect_with(&self.connect).await?;
        sqlx::query("select pg_promote()")
            .execute(&mut connection)
            .await?;
        Ok(())
    }

    /// A database that exists on this server under this name, such as the copy on a standby.
    #[must_use]
    pub fn database(&self, name: &str) -> TestDatabase {
        TestDatabase {
            connect: self.connect.clone().database(name),
            name: name.to_owned(),
            drop_through: None,
        }
    }

    fn private(&mut self) -> Result<&mut Cluster> {
        self.cluster
            .as_mut()
            .context("this server belongs to somebody else")
    }
}

/// A database of one test.
#[derive(Debug)]
pub struct TestDatabase {
    name: String,
    connect: PgConnectOptions,
    drop_through: Option<PgConnectOptions>,
}

impl TestDatabase {
    /// How to connect to it.
    #[must_use]
    pub fn connect_options(&self) -> PgConnectOptions {
        self.connect.clone()
    }

    /// The same as a URL, for programs that take `DATABASE_URL`.
    #[must_use]
    pub fn url(&self) -> String {
        use sqlx::ConnectOptions;
        self.connect.to_url_lossy().to_string()
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        let Some(connect) = self.drop_through.take() else {
            return;
        };
        let statement = format!("drop database if exists {} with (force)", self.name);
        // A thread with its own runtime: the test's runtime may be single-threaded and must not block.
        let dropped = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            runtime.block_on(async {
                let mut connection = PgConnection::connect_with(&connect).await?;
                sqlx::query(AssertSqlSafe(statement))
                    .execute(&mut connection)
                    .await?;
                anyhow::Ok(())
            })
        })
        .join();
        if !matches!(dropped, Ok(Ok(()))) {
            eprintln!("database {} was not dropped: {dropped:?}", self.name);
        }
    }
}
