//! Reads YAML on threads of its own.
//!
//! Its reader is slow and recursive: it would hold up a thread that serves requests, whose stack is too small for the
//! deepest document besides. Few clients send YAML: kubectl makes JSON of it.

use std::thread;

use bytes::Bytes;
use tokio::sync::{Semaphore, oneshot};

use super::document::{Document, YAML_STACK_BYTES};
use crate::endpoints::StatusError;

/// How many documents are read at once; more wait, no longer than their requests.
static READERS: Semaphore = Semaphore::const_new(4);

/// Reads one document, or says what is wrong with it.
///
/// # Errors
/// 503 when no thread can be had.
pub(super) async fn read(text: &Bytes) -> Result<Result<Document, String>, StatusError> {
    let permit = READERS.acquire().await.map_err(StatusError::internal)?;
    let (sender, document) = oneshot::channel();
    let text = text.clone();
    let read = move || {
        // Nobody may be waiting any more.
        drop(sender.send(Document::from_yaml(&text)));
        drop(permit);
    };
    let reader = thread::Builder::new().name("yaml".to_owned());
    reader
        .stack_size(YAML_STACK_BYTES)
        .spawn(read)
        .map_err(|error| StatusError::unavailable(format!("no thread to read YAML with: {error}"), 1))?;
    document.await.map_err(StatusError::internal)
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[tokio::test(flavor = "current_thread")]
    async fn reading_holds_up_no_other_task() {
        let order = Mutex::new(Vec::new());
        let done = |what| order.lock().unwrap().push(what);
        // It takes longer to read than this thread is kept from asking whether it has been.
        let lines: String = (0..20_000).map(|line| format!("a{line}: 1\n")).collect();
        let text = Bytes::from(lines);
        let reading = async {
            let read = read(&text).await.unwrap();
            assert_eq!(read.unwrap().value["a19999"], 1);
            done("read");
        };
        let serving = async { done("served") };

        tokio::join!(reading, serving);

        assert_eq!(*order.lock().unwrap(), ["served", "read"]);
    }

    #[tokio::test]
    async fn bombs_and_depth_are_refused() {
        let mut bomb = String::from("a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n");
        for level in 1..9 {
            let of = format!("*a{}", level - 1);
            let items = vec![of; 10].join(",");
            bomb.push_str(&format!("a{level}: &a{level} [{items}]\n"));
        }
        assert!(read(&bomb.into()).await.unwrap().is_err());
        let deep = format!("{}{}", "[".repeat(100), "]".repeat(100));
        assert!(read(&deep.into()).await.unwrap().is_err());
    }
}
