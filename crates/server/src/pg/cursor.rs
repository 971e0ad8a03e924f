//! SQL cursors: `DECLARE c CURSOR FOR …`, `FETCH n FROM c`, `CLOSE c`. They hold the running answer, not its rows, and each
//! FETCH asks again whether it may go on (D17).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use futures::StreamExt;
use meshwork_control::port::data::BatchStream;
use meshwork_control::query::{Answer, Prepared};
use pgwire::error::{PgWireError, PgWireResult};
use tokio_util::sync::CancellationToken;

use super::error::{plain, to_pg};

/// What one FETCH asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Count {
    Rows(usize),
    All,
}

pub struct Cursor {
    pub prepared: Arc<Prepared>,
    pub schema: SchemaRef,
    /// Outlives its transaction.
    hold: bool,
    rows: tokio::sync::Mutex<Rows>,
}

struct Rows {
    stream: BatchStream,
    /// What the last batch had more than was asked for.
    rest: Option<RecordBatch>,
}

impl Cursor {
    pub fn new(prepared: Arc<Prepared>, answer: Answer, hold: bool) -> Self {
        // A client fetches until there is nothing, and sometimes once more.
        let stream = answer.stream.fuse().boxed();
        let rows = tokio::sync::Mutex::new(Rows { stream, rest: None });
        Self { prepared, schema: answer.schema, hold, rows }
    }

    /// The next rows; fewer where there are no more.
    pub async fn fetch(&self, count: Count, cancelled: &CancellationToken) -> PgWireResult<Vec<RecordBatch>> {
        let mut rows = self.rows.lock().await;
        let mut wanted = match count {
            Count::Rows(rows) => rows,
            Count::All => usize::MAX,
        };
        let mut found = Vec::new();
        while wanted > 0 {
            let next = match rows.rest.take() {
                Some(rest) => Some(Ok(rest)),
                None => tokio::select! {
                    biased;
                    () = cancelled.cancelled() => return Err(PgWireError::QueryCanceled),
                    next = rows.stream.next() => next,
                },
            };
            let Some(batch) = next else { break };
            let batch = batch.map_err(|error| to_pg(&error))?;
            let taken = batch.num_rows().min(wanted);
            if taken < batch.num_rows() {
                rows.rest = Some(batch.slice(taken, batch.num_rows() - taken));
            }
            wanted -= taken;
            found.push(batch.slice(0, taken));
        }
        Ok(found)
    }
}

/// The open cursors of one session, by name.
#[derive(Default)]
pub struct Cursors(Mutex<BTreeMap<String, Arc<Cursor>>>);

impl Cursors {
    fn all(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Arc<Cursor>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// More than a client could want and few enough to keep open.
    const MOST: usize = 100;

    pub fn declare(&self, name: &str, cursor: Cursor) -> PgWireResult<()> {
        let mut all = self.all();
        if all.contains_key(name) {
            return Err(plain("42P03", format!("cursor \"{name}\" already exists")));
        }
        if all.len() >= Self::MOST {
            return Err(plain("53400", format!("{} cursors are open; close one first", Self::MOST)));
        }
        all.insert(name.to_owned(), Arc::new(cursor));
        Ok(())
    }

    pub fn find(&self, name: &str) -> PgWireResult<Arc<Cursor>> {
        self.all().get(name).cloned().ok_or_else(|| plain("34000", format!("cursor \"{name}\" does not exist")))
    }

    /// One, or all of them. Dropping its answer cancels what still runs.
    pub fn close(&self, name: Option<&str>) -> PgWireResult<()> {
        match name {
            Some(name) => {
                self.find(name)?;
                self.all().remove(name);
            }
            None => self.all().clear(),
        }
        Ok(())
    }

    /// At the end of a transaction.
    pub fn end_of_transaction(&self) {
        self.all().retain(|_, cursor| cursor.hold);
    }
}
