//! A place in the database where the transaction that writes one note waits until the test lets it go on.

use std::time::{Duration, Instant};

use sqlx::postgres::PgConnection;
use sqlx::{Connection, Executor};

use crate::fixture::{Fixture, SOON};

/// The note whose writer waits.
pub(crate) const HELD: &str = "held";

/// The key of the advisory lock that the writer waits for: any number that nothing else locks.
const KEY: &str = "99";

/// Where in its transaction the writer waits.
#[derive(Clone, Copy)]
pub(crate) enum Moment {
    /// Its version is drawn, its row is being written.
    Write,
    /// All is written, and the commit has begun.
    Commit,
}

pub(crate) struct Barrier {
    holder: PgConnection,
}

impl Barrier {
    pub(crate) async fn at(moment: Moment, fixture: &Fixture) -> Self {
        let trigger = match moment {
            Moment::Write => "create trigger held before insert on notes",
            Moment::Commit => "create constraint trigger held after insert on notes initially deferred",
        };
        let connect = fixture.database.connect_options();
        let mut holder = PgConnection::connect_with(&connect).await.unwrap();
        let schema = format!(
            "create function held() returns trigger language plpgsql as
                 $$ begin perform pg_advisory_xact_lock({KEY}); return new; end $$;
             {trigger} for each row when (new.name = '{HELD}') execute function held();
             select pg_advisory_lock({KEY})"
        );
        holder.execute(sqlx::AssertSqlSafe(schema)).await.unwrap();
        Self { holder }
    }

    /// Waits until so many transactions of this database wait for a lock: the one that is held here, and
    /// writers that wait for it.
    pub(crate) async fn wait_for(&mut self, waiting: i64) {
        let deadline = Instant::now() + SOON;
        while self.waiting().await < waiting {
            assert!(Instant::now() < deadline, "no {waiting} transactions are waiting");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    pub(crate) async fn waiting(&mut self) -> i64 {
        sqlx::query_scalar(
            "select count(*) from pg_locks l join pg_database d on d.oid = l.database
             where d.datname = current_database() and l.locktype = 'advisory' and not l.granted",
        )
        .fetch_one(&mut self.holder)
        .await
        .unwrap()
    }

    /// Lets the writer go on.
    pub(crate) async fn lift(self) {
        self.holder.close().await.unwrap();
    }
}
