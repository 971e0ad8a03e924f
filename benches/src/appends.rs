//! Small appends: commits a second beside the `deltalake` wheel, what flushing costs beside a bare `fdatasync`, several
//! writers of one table, and opening a table after many commits.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{Int64Array, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use arrow::record_batch::RecordBatch;
use chrono::TimeDelta;
use futures::TryStreamExt;
use meshwork_control::port::data::{
    GovernedColumn, GovernedTable, OutputSpec, PlanRequest, QueryEngine, RunLimits, RunSpec,
};
use meshwork_core::contract::{self, Table};
use meshwork_core::effect::{Clock, Timestamp};
use meshwork_core::filter::RowFilter;
use meshwork_core::id::{ColumnId, OutputId, RunId};
use meshwork_core::name::Name;
use meshwork_core::product::{Merge, Mode, OnViolation};
use meshwork_core::publication::TableLocation;
use meshwork_core::run::RunTask;
use meshwork_core::yaml;
use meshwork_engine::read::{Engine, EngineConfig};
use meshwork_engine::write::{Append, Writer, WriterConfig};

use crate::stats::{self, median};
use crate::tables::Governed;
use crate::{Failure, LIMITS};

const COMMITS: usize = 1000;
const WRITERS: usize = 8;
const EACH: usize = 200;
const ROWS: i64 = 10;

const CONTRACT: &str = "
schema: events
version: 1.0.0
owner: bench
fields:
  - { name: id, type: integer, required: true, min: 0 }
  - { name: kind, type: string, required: true, enum: [click, view, order] }
";

/// Time since the process began, as a clock.
#[derive(Debug)]
struct Ticking(Instant);

impl Clock for Ticking {
    fn now(&self) -> Timestamp {
        Timestamp::UNIX_EPOCH + TimeDelta::from_std(self.0.elapsed()).unwrap_or_default()
    }
}

/// A table to append to.
#[derive(Clone)]
struct Events {
    root: PathBuf,
    table: Table,
    batch: RecordBatch,
}

impl Events {
    fn new(root: PathBuf) -> Result<Self, Failure> {
        fs::create_dir_all(&root)?;
        let node = yaml::parse("events", CONTRACT).map_err(|found| format!("{found:?}"))?;
        let (contract, found) = contract::parse("events", CONTRACT, &node);
        let table = contract.and_then(|contract| contract.tables.into_iter().next()).ok_or(format!("{found:?}"))?;
        let schema =
            Schema::new(vec![Field::new("id", DataType::Int64, true), Field::new("kind", DataType::Utf8, true)]);
        let ids = Int64Array::from((0..ROWS).collect::<Vec<_>>());
        let kinds = StringArray::from(vec!["view"; ROWS as usize]);
        let batch = RecordBatch::try_new(Arc::new(schema), vec![Arc::new(ids), Arc::new(kinds)])?;
        Ok(Self { root, table, batch })
    }

    fn location(&self) -> TableLocation {
        TableLocation::of(&format!("file://{}/", self.root.display()), &OutputId::new("events"), 1)
    }

    fn writer(&self, durable: bool) -> Writer {
        let mut config = WriterConfig::new(self.root.join("scratch"), Arc::new(Ticking(Instant::now())));
        config.durable = durable;
        // The measure of contention is that all commits arrive, not how soon.
        config.commit_time = Duration::from_secs(600);
        Writer::new(config)
    }

    fn append(&self, run: &str) -> Result<Append, Failure> {
        let spec = RunSpec {
            pins: std::collections::BTreeMap::new(),
            run: RunId::new(run),
            product: "bench.events".into(),
            task: RunTask::Build,
            fencing_token: 1,
            inputs: BTreeMap::new(),
            incremental: BTreeMap::new(),
            storage: Vec::new(),
            full_refresh: false,
            release: None,
            outputs: vec![OutputSpec {
                served: None,
                resting: None,
                output: OutputId::new("events"),
                name: Name::new("events")?,
                major: 1,
                location: self.location(),
                table: self.table.clone(),
                contract_version: "1.0.0".parse()?,
                contract_digest: "bench".into(),
                sql: String::new(),
                sql_path: String::new(),
                mode: Mode::Append,
                key: Vec::new(),
                merge: Merge::default(),
                on_violation: OnViolation::Block,
                quarantine_limit: Default::default(),
                base: None,
                references: BTreeMap::new(),
            }],
            sample: None,
            limits: RunLimits {
                memory_bytes: 1 << 30,
                spill_bytes: 1 << 30,
                time: Duration::from_secs(60),
                rows: None,
                cores: 2,
            },
            now: Timestamp::UNIX_EPOCH,
        };
        Ok(Append { spec, batches: vec![self.batch.clone()] })
    }

    async fn grow(&self, writer: &Writer, name: &str, commits: usize) -> Result<u64, Failure> {
        let mut version = 0;
        for commit in 0..commits {
            let done = writer.append(&self.append(&format!("{name}-{commit}"))?).await?;
            version = done.version.ok_or("a clause does not hold")?;
        }
        Ok(version)
    }

    /// As a reader finds it who has opened nothing yet.
    async fn opened(&self, version: u64) -> Result<f64, Failure> {
        let table = GovernedTable {
            body: meshwork_control::port::data::GovernedBody::Stored,
            domain: Name::new("bench")?,
            output: Name::new("events")?,
            output_id: OutputId::new("events"),
            major: 1,
            location: self.location(),
            delta_version: version,
            columns: self
                .table
                .fields
                .iter()
                .map(|field| GovernedColumn {
                    id: ColumnId::new(&field.name),
                    name: field.name.clone(),
                    native: field.native.clone(),
                    nullable: true,
                    mask: None,
                    bears: Vec::new(),
                })
                .collect(),
            withheld: Vec::new(),
            rows: RowFilter::default(),
            decision_digest: String::new(),
            valid_until: None,
        };
        let engine = Engine::new(EngineConfig::new(self.root.join("scratch"), 2))?;
        let request = PlanRequest {
            sql: "SELECT count(*) FROM bench.events".into(),
            catalog: Arc::new(Governed { tables: vec![table], now: Timestamp::UNIX_EPOCH }) as _,
            as_of: None,
            parameter_types: Vec::new(),
            limits: LIMITS,
            now: Timestamp::UNIX_EPOCH,
        };
        let start = Instant::now();
        let query = engine.plan(request).await?;
        let took = start.elapsed().as_secs_f64() * 1000.0;
        let batches: Vec<_> = query.execute(Vec::new()).await?.try_collect().await?;
        let counted = batches[0].column(0).as_any().downcast_ref::<Int64Array>().ok_or("a number")?.value(0);
        assert_eq!(counted, (version as i64 + 1) * ROWS, "a reader sees every row");
        Ok(took)
    }
}

pub async fn run(folder: &Path, python: &Path, script: &Path, rounds: usize) -> Result<(), Failure> {
    let scratch = folder.canonicalize()?.join(format!("appends-{}", std::process::id()));
    fs::create_dir_all(&scratch)?;
    let done = all(&scratch, python, script, rounds).await;
    fs::remove_dir_all(&scratch)?;
    done
}

async fn all(scratch: &Path, python: &Path, script: &Path, rounds: usize) -> Result<(), Failure> {
    let events = |name: &str| Events::new(scratch.join(name));
    println!("\n{COMMITS} appends of {ROWS} rows, nothing flushed, commits a second, {rounds} rounds");
    let (mut ours, mut theirs, mut cpu) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..=rounds {
        for ours_now in [round % 2 == 0, round % 2 != 0] {
            if ours_now {
                let table = events(&format!("ours-{round}"))?;
                let (before, start) = (stats::cpu_seconds(), Instant::now());
                table.grow(&table.writer(false), "a", COMMITS).await?;
                if round > 0 {
                    ours.push(COMMITS as f64 / start.elapsed().as_secs_f64());
                    cpu.push((stats::cpu_seconds() - before) * 1000.0 / COMMITS as f64);
                }
            } else {
                let table = scratch.join(format!("theirs-{round}"));
                let said = Command::new(python).arg(script).arg(&table).arg(COMMITS.to_string()).output()?;
                let rate = String::from_utf8_lossy(&said.stdout).trim().parse::<f64>();
                let rate = rate.map_err(|_| String::from_utf8_lossy(&said.stderr).into_owned())?;
                if round > 0 {
                    theirs.push(rate);
                }
            }
        }
    }
    let (low, high) = stats::ratio_bound(&ours, &theirs);
    println!("  meshwork, all clauses checked  {:>8.0}  ({:.2} ms CPU each)", median(&ours), median(&cpu));
    println!("  deltalake wheel, no checks     {:>8.0}", median(&theirs));
    println!(
        "  ratio {:.2}× (95 % bound {low:.2} to {high:.2}), wanted ≥ 1.5×: {}",
        median(&ours) / median(&theirs),
        yes(low >= 1.5)
    );

    let table = events("flushed")?;
    let start = Instant::now();
    table.grow(&table.writer(true), "f", COMMITS / 5).await?;
    let each = start.elapsed().as_secs_f64() * 1000.0 / (COMMITS / 5) as f64;
    println!("\nflushed to the disk: {each:.2} ms a commit; a bare fdatasync of 1 KiB: {:.2} ms", bare(scratch)?);

    let table = events("shared")?;
    let start = Instant::now();
    let mut writers = tokio::task::JoinSet::new();
    for who in 0..WRITERS {
        let table = table.clone();
        writers.spawn(async move { table.grow(&table.writer(false), &format!("w{who}"), EACH).await });
    }
    let mut last = 0;
    while let Some(done) = writers.join_next().await {
        last = last.max(done??);
    }
    assert_eq!(last as usize + 1, WRITERS * EACH, "none lost");
    table.opened(last).await?;
    println!(
        "\n{WRITERS} writers × {EACH} commits to one table: none failed, none lost, {:.1} s",
        start.elapsed().as_secs_f64()
    );

    let (few, many) = (events("few")?, events("many")?);
    let after_few = few.grow(&few.writer(false), "o", 100).await?;
    let after_many = many.grow(&many.writer(false), "o", 10_000).await?;
    let (mut short, mut long) = (Vec::new(), Vec::new());
    for round in 0..=rounds {
        let times = (few.opened(after_few).await?, many.opened(after_many).await?);
        if round > 0 {
            short.push(times.0);
            long.push(times.1);
        }
    }
    let (low, high) = stats::ratio_bound(&long, &short);
    println!(
        "\nopening a table after 100 commits {:.2} ms, after 10,000 {:.2} ms: {:.2}× (95 % bound {low:.2} to {high:.2}), wanted ≤ 2×: {}",
        median(&short),
        median(&long),
        median(&long) / median(&short),
        yes(high <= 2.0)
    );
    Ok(())
}

fn yes(holds: bool) -> &'static str {
    if holds { "yes" } else { "no" }
}

/// Milliseconds that the disk takes for the smallest durable write.
fn bare(folder: &Path) -> Result<f64, Failure> {
    let mut file = File::create(folder.join("bare"))?;
    let mut times = Vec::new();
    for _ in 0..200 {
        let start = Instant::now();
        file.write_all(&[7; 1024])?;
        file.sync_data()?;
        times.push(start.elapsed().as_secs_f64() * 1000.0);
    }
    Ok(median(&times))
}
