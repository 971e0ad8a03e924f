//! An output of mode `external`: files of others are checked where they lie, and pinned. Nothing is copied.

mod look;
mod register;

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use meshwork_control::port::data::{InputSpec, OutputSpec, Phase, SourceSpec};
use meshwork_core::lineage::{ColumnLineage, ColumnSource};
use meshwork_core::publication::{Body, ExternalBody};
use meshwork_core::{Error, Result};

use self::look::{Found, look};
use super::super::files::DataFiles;
use super::super::ground::Ground;
use super::super::input::Inputs;
use super::super::sample::Likeness;
use super::super::schema::{file_schema, stored_schema};
use super::super::session::{self, Way};
use super::super::sink::Sink;
use super::super::{Pass, set};
use super::after::After;
use super::view::as_served;
use super::{Built, Made, Run};
use crate::failpoint;
use crate::read::external::{RegisteredColumn, registered};
use crate::source::Reading;
use crate::storage::log::TableLog;

/// Longer than the clock of any file system ticks: two writes that bear the same time are both over when it has passed.
const TICK: Duration = Duration::from_millis(50);

impl Run {
    pub(super) async fn external(&self, at: usize, reading: &Reading, way: Way) -> Result<Built> {
        let output = &self.spec.outputs[at];
        let stored = stored_schema(&output.table);
        let schema = file_schema(&stored);
        let log = TableLog::open(&self.config.stores, &output.location, self.config.durable).await?;
        let ground = Ground::survey(&log, output, true).await?;
        let what = format!("output `{}`", output.name);
        let (input, source) = only(output, &self.spec.inputs)?;
        let found = look(input, source, output, &self.access).await?;
        if let Some(served) = &output.served
            && served.body == found.body()
            && registered(&log, served.delta_version).await?.as_ref() == Some(&found.table)
            && !self.is_referred_to(output)
        {
            self.log("info", format!("{what}: nothing is new"));
            return Ok(as_served(output, served, schema, reading));
        }
        // An ETag tells every content from every other one; the times of a file system only those that lie apart.
        if found.store.is_none() {
            tokio::time::sleep(TICK).await;
            if look(input, source, output, &self.access).await?.table != found.table {
                let message = format!("input `{input}`: its files change while they are looked at");
                return Err(Error::environment("MW0686", message).hint("run again when nothing writes there"));
            }
        }
        let rows = found.rows;
        let snapshot = found.table.snapshot(found.reach.clone()).await?;
        let table = DataFiles::of_others(&snapshot, rows, found.table.bytes());
        let sink = Sink {
            config: Arc::clone(&self.config),
            log,
            schema: Arc::clone(&schema),
            written: self.written.clone(),
            what: what.clone(),
        };
        let places: Vec<usize> =
            output.table.fields.iter().filter_map(|field| snapshot.schema().index_of(&field.name).ok()).collect();
        let mut pass = Pass::new(&output.table, Arc::clone(&schema), places.clone(), false, reading);
        let context = session::session(&self.spec.limits, &self.config.scratch, self.spec.now, way)?;
        let failed = |error| session::execution_error(&error, &what);
        let mut batches =
            context.read_table(Arc::new(table.clone())).map_err(failed)?.execute_stream().await.map_err(failed)?;
        while let Some(batch) = batches.next().await {
            let batch = batch.map_err(failed)?;
            reading.meter.add(batch.num_rows() as u64, batch.get_array_memory_size() as u64);
            pass.batch(&batch)?;
            self.progress(output, Phase::Reading, pass.rows, reading);
        }
        if at == 0 {
            failpoint::pass(self.config.fail_point.as_ref(), "after-first-file").await?;
        }
        if pass.rows != rows {
            let message = format!("{what}: the files hold {} rows, and their footers say {rows}", pass.rows);
            return Err(Error::check("MW0687", message).hint("write the files again with another writer"));
        }
        self.progress(output, Phase::Checking, pass.rows, reading);
        let body = found.body();
        let lineage = found.table.columns.iter().map(|column| lineage(input, column)).collect();
        let inputs = Inputs::default();
        let made = Made { output, sink: &sink, ground: &ground, inputs: &inputs, stored: &stored };
        let staged = self.staged(&made, &After::default(), Some(found.table))?;
        let batch = set::Batch::looked_at(output, schema, table, places, Likeness::Whole);
        Ok(Built { pass: Some(pass), ..Built::of(batch, staged, lineage, body, reading) })
    }
}

impl Found {
    /// What a publication says of it.
    fn body(&self) -> Body {
        Body::External(ExternalBody {
            format: self.table.format.clone(),
            version: self.table.version,
            files: self.table.files.len() as u64,
            store: self.store.clone().map(Box::new),
        })
    }
}

fn lineage(input: &str, column: &RegisteredColumn) -> ColumnLineage {
    let from =
        ColumnSource { input: input.to_owned(), column: column.physical.clone(), flows: true, bears: Vec::new() };
    ColumnLineage { column: column.name.clone(), from: vec![from], inherited: Vec::new() }
}

/// The source that the output registers.
fn only<'a>(
    output: &OutputSpec,
    inputs: &'a std::collections::BTreeMap<String, InputSpec>,
) -> Result<(&'a str, &'a SourceSpec)> {
    let mut sources = inputs.iter();
    match (sources.next(), sources.next()) {
        (Some((name, InputSpec::Source(source @ (SourceSpec::Delta { .. } | SourceSpec::Parquet { .. })))), None) => {
            Ok((name, source))
        }
        _ => Err(Error::check("MW0684", format!("output `{}`: there is no single table to register", output.name))
            .hint("the product's only input must be a source of type `delta` or `parquet` in the domain's folder or in a bucket")),
    }
}
