//! Every TPC-H query through the governed path while the process may not grow beyond a ceiling: what does not fit must spill.
//!
//! The ceiling is the operating system's (`RLIMIT_DATA`), so nobody's bookkeeping is trusted: half of it goes to the memory
//! pool, the rest is for what no pool counts (decoding buffers, the allocator's reserve). Prints wall and CPU time, rows and
//! the highest resident size so far.

use std::sync::Arc;
use std::time::{Duration, Instant};

use meshwork_control::port::data::QueryLimits;
use meshwork_engine::read::Engine;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::stats::{self, Sample};
use crate::tables::Governed;
use crate::{Failure, QUERIES, governed_run};

pub async fn run(engine: &Engine, governed: &Arc<Governed>, bytes: u64) -> Result<(), Failure> {
    let now = getrlimit(Resource::Data);
    setrlimit(Resource::Data, Rlimit { current: Some(bytes), maximum: now.maximum })?;
    let limits = QueryLimits {
        memory_bytes: bytes / 2,
        spill_bytes: 100 << 30,
        time: Duration::from_secs(3600),
        rows: None,
        sql_bytes: 1 << 20,
    };
    println!("all 22 queries of TPC-H within {:.1} GiB", bytes as f64 / f64::from(1 << 30));
    println!("{:>4}  {:>10}  {:>10}  {:>10}  {:>12}", "", "wall", "CPU", "rows", "peak RSS");
    let mut failed = Vec::new();
    for (name, sql) in QUERIES {
        let (cpu, start) = (stats::cpu_seconds(), Instant::now());
        match governed_run(engine, governed, sql, limits).await {
            Ok(Sample { wall, cpu, rows }) => {
                println!("{name:>4}  {wall:>8.1} s  {cpu:>8.1} s  {rows:>10}  {:>8.0} MiB", peak_mib());
            }
            Err(error) => {
                let (wall, cpu) = (start.elapsed().as_secs_f64(), stats::cpu_seconds() - cpu);
                println!("{name:>4}  {wall:>8.1} s  {cpu:>8.1} s  failed: {error}");
                failed.push(name);
            }
        }
    }
    if failed.is_empty() { Ok(()) } else { Err(format!("not finished: {}", failed.join(", ")).into()) }
}

fn peak_mib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib: f64 = line.and_then(|line| line.trim().split(' ').next()?.parse().ok()).unwrap_or(0.0);
    kib / 1024.0
}
