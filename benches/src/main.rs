//! Governed reads against plain DataFusion on the same Parquet files, in one process (ADR 5).
//!
//! `meshwork-bench FOLDER [ROUNDS [QUERY …]]`, or `meshwork-bench --ceiling GIB FOLDER` for all queries within that much
//! memory, where FOLDER holds `<table>.parquet` of TPC-H. Each round runs every query on both sides, in alternating order;
//! CPU seconds of the process decide. Prints a table and, as its last line, JSON for the DuckDB side.
//! `meshwork-bench --appends FOLDER PYTHON SCRIPT ROUNDS`: small commits beside those of the `deltalake` wheel.

mod appends;
mod ceiling;
mod stats;
mod tables;

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use datafusion::prelude::{ParquetReadOptions, SessionConfig, SessionContext};
use futures::TryStreamExt;
use meshwork_control::port::data::{PlanRequest, QueryEngine, QueryLimits};
use meshwork_engine::read::{Engine, EngineConfig};
use serde_json::json;

use stats::{Sample, ratio_bound};
use tables::Governed;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const QUERIES: [(&str, &str); 22] = [
    ("Q1", include_str!("../queries/q1.sql")),
    ("Q2", include_str!("../queries/q2.sql")),
    ("Q3", include_str!("../queries/q3.sql")),
    ("Q4", include_str!("../queries/q4.sql")),
    ("Q5", include_str!("../queries/q5.sql")),
    ("Q6", include_str!("../queries/q6.sql")),
    ("Q7", include_str!("../queries/q7.sql")),
    ("Q8", include_str!("../queries/q8.sql")),
    ("Q9", include_str!("../queries/q9.sql")),
    ("Q10", include_str!("../queries/q10.sql")),
    ("Q11", include_str!("../queries/q11.sql")),
    ("Q12", include_str!("../queries/q12.sql")),
    ("Q13", include_str!("../queries/q13.sql")),
    ("Q14", include_str!("../queries/q14.sql")),
    ("Q15", include_str!("../queries/q15.sql")),
    ("Q16", include_str!("../queries/q16.sql")),
    ("Q17", include_str!("../queries/q17.sql")),
    ("Q18", include_str!("../queries/q18.sql")),
    ("Q19", include_str!("../queries/q19.sql")),
    ("Q20", include_str!("../queries/q20.sql")),
    ("Q21", include_str!("../queries/q21.sql")),
    ("Q22", include_str!("../queries/q22.sql")),
];

/// Those that are compared: scans, joins, groupings, one of each kind.
const COMPARED: [&str; 8] = ["Q1", "Q3", "Q5", "Q6", "Q9", "Q10", "Q13", "Q18"];

pub const LIMITS: QueryLimits = QueryLimits {
    memory_bytes: 8 << 30,
    spill_bytes: 8 << 30,
    time: std::time::Duration::from_secs(600),
    rows: None,
    sql_bytes: 1 << 20,
};

type Failure = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    const USAGE: &str =
        "usage: meshwork-bench [--ceiling GIB] FOLDER [ROUNDS [QUERY …]], or --appends FOLDER PYTHON SCRIPT ROUNDS";
    let mut arguments = std::env::args().skip(1).peekable();
    if arguments.next_if_eq("--appends").is_some() {
        let arguments: Vec<String> = arguments.collect();
        let [folder, python, script, rounds] = arguments.as_slice() else { return Err(USAGE.into()) };
        return appends::run(Path::new(folder), Path::new(python), Path::new(script), rounds.parse()?).await;
    }
    let ceiling = arguments.next_if_eq("--ceiling").map(|_| arguments.next().ok_or(USAGE)).transpose()?;
    let folder = arguments.next().ok_or(USAGE)?;
    let rounds: usize = arguments.next().map_or(Ok(11), |rounds| rounds.parse())?;
    let wanted: Vec<String> = arguments.collect();
    let folder = Path::new(&folder).canonicalize()?;
    let cores = std::thread::available_parallelism()?.get();

    let governed = Arc::new(Governed::link(&folder)?);
    let engine = Engine::new(EngineConfig::new(std::env::temp_dir(), cores))?;
    if let Some(gib) = ceiling {
        return ceiling::run(&engine, &governed, gib.parse::<u64>()? << 30).await;
    }
    let plain = plain(&folder, cores).await?;
    println!("TPC-H, {cores} cores, {rounds} rounds, DataFusion {}", datafusion::DATAFUSION_VERSION);
    println!(
        "{:>4}  {:>12}  {:>12}  {:>8}  {:>18}  {:>12}  {:>12}",
        "", "governed CPU", "plain CPU", "ratio", "95 % bound of it", "governed wall", "plain wall"
    );
    let mut report = Vec::new();
    let (mut all_governed, mut all_plain, mut walls) = (vec![0.0; rounds], vec![0.0; rounds], (0.0, 0.0));
    let is_wanted = |name: &str| match wanted.as_slice() {
        [] => COMPARED.contains(&name),
        wanted => wanted.iter().any(|query| query == name),
    };
    for (name, sql) in QUERIES.into_iter().filter(|(name, _)| is_wanted(name)) {
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for round in 0..=rounds {
            let governed_first = round % 2 == 0;
            for side in [governed_first, !governed_first] {
                let sample = if side {
                    governed_run(&engine, &governed, sql, LIMITS).await?
                } else {
                    plain_run(&plain, sql).await?
                };
                // The first round warms caches on both sides and is not counted.
                if round > 0 {
                    if side { ours.push(sample) } else { theirs.push(sample) }
                }
            }
        }
        for round in 0..rounds {
            all_governed[round] += ours[round].cpu;
            all_plain[round] += theirs[round].cpu;
        }
        let cpu = |samples: &[Sample]| samples.iter().map(|s| s.cpu).collect::<Vec<_>>();
        let wall = |samples: &[Sample]| stats::median(&samples.iter().map(|s| s.wall).collect::<Vec<_>>());
        line(name, &cpu(&ours), &cpu(&theirs), wall(&ours), wall(&theirs));
        walls = (walls.0 + wall(&ours), walls.1 + wall(&theirs));
        report.push(json!({ "query": name, "sql": sql, "cpu": stats::median(&cpu(&ours)), "wall": wall(&ours), "rows": ours[0].rows }));
        assert_eq!(ours[0].rows, theirs[0].rows, "{name}: both sides must return the same number of rows");
    }
    line("all", &all_governed, &all_plain, walls.0, walls.1);
    println!("{}", json!({ "cores": cores, "queries": report }));
    Ok(())
}

fn line(name: &str, ours: &[f64], theirs: &[f64], our_wall: f64, their_wall: f64) {
    let (ours_cpu, theirs_cpu) = (stats::median(ours), stats::median(theirs));
    let (low, high) = ratio_bound(ours, theirs);
    println!(
        "{name:>4}  {ours_cpu:>10.3} s  {theirs_cpu:>10.3} s  {:>7.3}×  {low:>7.3}× … {high:>5.3}×  {our_wall:>11.3} s  {their_wall:>10.3} s",
        ours_cpu / theirs_cpu
    );
}

/// DataFusion as a user would set it up, with the same settings that the engine uses for a table without obligations.
async fn plain(folder: &Path, cores: usize) -> Result<SessionContext, Failure> {
    let context = SessionContext::new_with_config(SessionConfig::new().with_target_partitions(cores));
    for table in tables::NAMES {
        let path = folder.join(format!("{table}.parquet"));
        context.register_parquet(table, path.to_string_lossy(), ParquetReadOptions::default()).await?;
    }
    Ok(context)
}

async fn plain_run(context: &SessionContext, sql: &str) -> Result<Sample, Failure> {
    let (cpu, start) = (stats::cpu_seconds(), Instant::now());
    let batches: Vec<_> = context.sql(&sql.replace("tpch.", "")).await?.execute_stream().await?.try_collect().await?;
    Ok(Sample::since(cpu, start, batches.iter().map(|batch| batch.num_rows()).sum()))
}

async fn governed_run(
    engine: &Engine,
    governed: &Arc<Governed>,
    sql: &str,
    limits: QueryLimits,
) -> Result<Sample, Failure> {
    let (cpu, start) = (stats::cpu_seconds(), Instant::now());
    let request = PlanRequest {
        sql: sql.to_owned(),
        catalog: Arc::clone(governed) as _,
        as_of: None,
        parameter_types: Vec::new(),
        limits,
        now: governed.now,
    };
    let query = engine.plan(request).await?;
    let batches: Vec<_> = query.execute(Vec::new()).await?.try_collect().await?;
    Ok(Sample::since(cpu, start, batches.iter().map(|batch| batch.num_rows()).sum()))
}
