//! Writing data files of one table. No log refers to them yet.

use std::num::NonZeroU64;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::datatypes::SchemaRef;
use datafusion::execution::SendableRecordBatchStream;
use deltalake_core::datafile::writer::{DeltaWriter, WriterConfig as DeltaWriterConfig};
use futures::StreamExt;
use meshwork_core::{Error, Result};
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use serde_json::Value;

use super::{WriterConfig, session};
use crate::storage::fault::storage_error;
use crate::storage::log::TableLog;

/// Every data file that a run has written so far.
#[derive(Clone, Debug, Default)]
pub struct Written(Arc<Mutex<Vec<(TableLog, String)>>>);

impl Written {
    fn add(&self, files: impl Iterator<Item = (TableLog, String)>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend(files);
    }

    /// Removes some of them: others have taken their place.
    async fn remove(&self, log: &TableLog, names: &[String]) {
        let is_one = |(of, name): &(TableLog, String)| of.url() == log.url() && names.contains(name);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).retain(|file| !is_one(file));
        for name in names {
            log.discard(name).await;
        }
    }

    pub async fn discard(&self) {
        let files = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        for (log, name) in files {
            log.discard(&name).await;
        }
    }
}

/// Makes writers of one table's data files.
#[derive(Clone, Debug)]
pub struct Sink {
    pub config: Arc<WriterConfig>,
    pub log: TableLog,
    pub schema: SchemaRef,
    pub written: Written,
    /// Such as "output `leads`".
    pub what: String,
}

impl Sink {
    pub fn open(&self) -> Result<DeltaWriter> {
        let level = ZstdLevel::try_new(1).unwrap_or_default();
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(level))
            .set_max_row_group_row_count(Some(self.config.row_group_rows))
            .set_created_by(concat!("meshwork ", env!("CARGO_PKG_VERSION")).to_owned())
            .build();
        // Minus one: statistics of every column, with which readers prune.
        let indexed = "-1".try_into().map_err(|_| Error::internal("MW0621", "the writer cannot be configured"))?;
        let size = NonZeroU64::new(self.config.file_bytes);
        let schema = Arc::clone(&self.schema);
        let config = DeltaWriterConfig::new(schema, Vec::new(), Some(properties), size, Some(8192), indexed, None);
        Ok(DeltaWriter::new(self.log.table_store(), config))
    }

    pub fn fault(&self, error: &(dyn std::error::Error + 'static)) -> Error {
        storage_error(&format!("writing {}", self.what), error)
    }

    /// Removes files that have been written anew.
    pub async fn remove(&self, adds: &[Value]) {
        let names = adds.iter().filter_map(|add| Some(add.get("path")?.as_str()?.to_owned()));
        self.written.remove(&self.log, &names.collect::<Vec<_>>()).await;
    }

    /// Ends a writer; its files as `add` actions.
    pub async fn close(&self, writer: DeltaWriter) -> Result<Vec<Value>> {
        let adds = writer.close().await.map_err(|error| self.fault(&error))?;
        self.written.add(adds.iter().map(|add| (self.log.clone(), add.path.clone())));
        adds.iter()
            .map(serde_json::to_value)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|_| Error::internal("MW0632", "a data file cannot be described"))
    }

    /// Writes every stream into files of its own, all at a time.
    pub async fn write_all(&self, streams: Vec<SendableRecordBatchStream>) -> Result<Vec<Value>> {
        let mut tasks = tokio::task::JoinSet::new();
        for stream in streams {
            let sink = self.clone();
            tasks.spawn(async move { sink.write_one(stream).await });
        }
        let mut adds = Vec::new();
        while let Some(done) = tasks.join_next().await {
            let stopped = |_| Error::internal("MW0613", format!("writing {} stopped unexpectedly", self.what));
            adds.extend(done.map_err(stopped)??);
        }
        Ok(adds)
    }

    async fn write_one(&self, mut stream: SendableRecordBatchStream) -> Result<Vec<Value>> {
        let mut writer = self.open()?;
        while let Some(batch) = stream.next().await {
            let written = match batch {
                Ok(batch) if batch.num_rows() == 0 => Ok(()),
                Ok(batch) => writer.write(&batch).await.map_err(|error| self.fault(&error)),
                Err(error) => Err(session::execution_error(&error, &self.what)),
            };
            if let Err(error) = written {
                let _ = writer.abort().await;
                return Err(error);
            }
        }
        self.close(writer).await
    }
}
