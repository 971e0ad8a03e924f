//! Figures of a table with a long log. Not a test of speed: it prints.
//! `cargo test --release -p meshwork-engine figures -- --ignored --nocapture`

use std::time::{Duration, Instant};

use super::concurrent::batch;
use super::*;
use crate::storage::Stores;

const MOMENTS: [i64; 3] = [100, 1000, 10_000];

/// The least of several, each as a process does it that has seen nothing of the table.
async fn opening(mesh: &Mesh, version: u64) -> Duration {
    let mut least = Duration::MAX;
    for _ in 0..9 {
        let began = Instant::now();
        SnapshotCache::new(4, 64 << 20, Arc::new(Stores::local()))
            .open(&mesh.location(), version)
            .await
            .expect("opens");
        least = least.min(began.elapsed());
    }
    least
}

#[tokio::test]
#[ignore = "prints figures"]
async fn figures_of_a_long_log() {
    let mesh = Mesh::new();
    let mut config = WriterConfig::new(mesh.folder.path().join("scratch"), Arc::new(TestClock::new()));
    config.durable = false;
    let writer = Writer::new(config);
    let mut began = Instant::now();
    let mut before = 0;
    for n in 1..=MOMENTS[2] {
        let append = mesh.append(&format!("run-{n}"), false, batch(&[n], "w"));
        assert!(writer.append(&append).await.expect("committed").version.is_some());
        if MOMENTS.contains(&n) {
            let (commits, took) = (n - before, began.elapsed());
            let files = writer.layout(&mesh.location(), (n - 1) as u64).await.expect("told").files;
            println!(
                "commits {} to {n}: {:.0} a second; then opening takes {:?}, with {files} files",
                before + 1,
                commits as f64 / took.as_secs_f64(),
                opening(&mesh, (n - 1) as u64).await,
            );
            (before, began) = (n, Instant::now());
        }
    }
}
