//! The history of a watch of an append-only resource: read from the table, page by page, until the ring
//! of recent events reaches back to where the reading has come.

use std::collections::VecDeque;
use std::sync::Arc;

use super::cacher::Cacher;
use super::error::StorageError;
use super::resource_version::ResourceVersion;
use super::table_scan::{Bound, CHUNK_ROWS, Scan};
use super::types::{WatchEvent, WatchEventType};
use super::watch_stream::Past;

/// The history of a watch, read from the table until the ring of recent events reaches back to it.
pub(super) struct TableHistory {
    scan: Scan,
    cacher: Arc<Cacher>,
    /// What retention must not pass; for initial events, what it had reached at the first page.
    floor: Option<ResourceVersion>,
    position: ResourceVersion,
    until: ResourceVersion,
    closing_bookmark: bool,
    ready: VecDeque<Past>,
    over: bool,
}

impl TableHistory {
    /// Everything up to a version, perhaps closed by a bookmark.
    pub(super) fn initial_events(
        scan: Scan,
        cacher: &Arc<Cacher>,
        version: ResourceVersion,
        closing_bookmark: bool,
    ) -> Self {
        Self {
            floor: None,
            position: ResourceVersion::ZERO,
            closing_bookmark,
            ..Self::after(scan, cacher, version)
        }
    }

    /// What follows a version.
    pub(super) fn after(scan: Scan, cacher: &Arc<Cacher>, version: ResourceVersion) -> Self {
        Self {
            scan,
            cacher: Arc::clone(cacher),
            floor: Some(version),
            position: version,
            until: version,
            closing_bookmark: false,
            ready: VecDeque::new(),
            over: false,
        }
    }

    pub(super) async fn next(mut self) -> Option<(Result<Past, StorageError>, Self)> {
        loop {
            if let Some(past) = self.ready.pop_front() {
                return Some((Ok(past), self));
            }
            if self.over {
                return None;
            }
            if let Err(error) = self.advance().await {
                self.over = true;
                return Some((Err(error), self));
            }
        }
    }

    async fn advance(&mut self) -> Result<(), StorageError> {
        if self.position < self.until {
            return self.read().await;
        }
        if std::mem::take(&mut self.closing_bookmark) {
            let bookmark = WatchEvent::Bookmark {
                version: self.until,
                initial_events_end: true,
            };
            self.ready.push_back(Past::Event(bookmark));
            return Ok(());
        }
        self.join()
    }

    async fn read(&mut self) -> Result<(), StorageError> {
        let chunk = self
            .scan
            .chunk(self.position, Bound::UpTo(self.until), CHUNK_ROWS)
            .await?;
        let floor = *self.floor.get_or_insert(chunk.floor);
        if chunk.floor > floor {
            return Err(StorageError::Expired {
                asked: floor,
                oldest: chunk.floor,
                continue_from: None,
            });
        }
        self.position = match chunk.objects.last() {
            Some(last) if chunk.full => last.version,
            _ => self.until,
        };
        let matching = chunk
            .objects
            .into_iter()
            .filter(|object| self.scan.filter.matches(object));
        let added = matching.map(|object| Past::Event(WatchEvent::Object(WatchEventType::Added, object)));
        self.ready.extend(added);
        Ok(())
    }

    /// Goes on with the ring, or with the table where the ring has moved on meanwhile.
    fn join(&mut self) -> Result<(), StorageError> {
        let filter = Arc::new(self.scan.filter.clone());
        match self.cacher.watch_after(self.position, &filter) {
            Ok((missed, live)) => {
                for event in missed {
                    self.ready
                        .extend(event.seen(&filter, &self.scan.resource.table)?.map(Past::Event));
                }
                self.ready.push_back(Past::Live(live));
                self.over = true;
            }
            Err(StorageError::Expired { .. }) => self.until = self.cacher.newest().0,
            Err(error) => return Err(error),
        }
        Ok(())
    }
}
