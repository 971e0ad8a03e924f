//! When housekeeping is due, and what became of it: one job for each product and task, one at a time.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use meshwork_core::effect::{Entropy, Timestamp};
use meshwork_core::name::Name;
use serde::{Deserialize, Serialize};

use super::{Maintained, Task};

/// A job as others see it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Job {
    /// `domain.product`.
    pub product: String,
    pub task: Task,
    pub state: JobState,
    pub next: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Timestamp>,
    /// What it did last, table by table.
    #[serde(default)]
    pub last: Vec<Maintained>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    Waiting,
    Running,
}

/// The jobs of this process.
#[derive(Debug)]
pub struct Jobs {
    /// From the end of one to the next, give or take a fifth.
    every: Duration,
    /// Where each job's own moment comes from: so that they do not all come at once.
    seed: u64,
    jobs: Mutex<BTreeMap<Key, Job>>,
}

type Key = ((Name, Name), Task);

impl Jobs {
    pub fn new(every: Duration, entropy: &dyn Entropy) -> Self {
        let mut bytes = [0; 8];
        entropy.fill(&mut bytes);
        Self { every, seed: u64::from_le_bytes(bytes), jobs: Mutex::default() }
    }

    /// Jobs for what there is now, and none for what has gone.
    pub fn plan(&self, products: &[(Name, Name)], now: Timestamp) {
        let mut jobs = self.lock();
        jobs.retain(|(product, _), _| products.contains(product));
        for product in products {
            for task in Task::ALL {
                let name = format!("{}.{}", product.0, product.1);
                // The first time within one period: a server that is often started anew comes to it too.
                let first = later(now, self.every.mul_f64(self.share(&name, task)));
                jobs.entry((product.clone(), task)).or_insert_with(|| Job {
                    product: name,
                    task,
                    state: JobState::Waiting,
                    next: first,
                    started_at: None,
                    finished_at: None,
                    last: Vec::new(),
                });
            }
        }
    }

    /// The job that has been due longest, which now runs.
    pub fn begin(&self, now: Timestamp) -> Option<Key> {
        let mut jobs = self.lock();
        let due = jobs.iter_mut().filter(|(_, job)| job.state == JobState::Waiting && job.next <= now);
        let (key, job) = due.min_by_key(|(_, job)| job.next)?;
        (job.state, job.started_at) = (JobState::Running, Some(now));
        Some(key.clone())
    }

    pub fn end(&self, product: &str, task: Task, report: &[Maintained], now: Timestamp) {
        let share = 0.8 + 0.4 * self.share(product, task);
        let next = later(now, self.every.mul_f64(share));
        if let Some(job) = self.lock().values_mut().find(|job| job.product == product && job.task == task) {
            (job.state, job.finished_at, job.next, job.last) = (JobState::Waiting, Some(now), next, report.to_vec());
        }
    }

    pub fn list(&self) -> Vec<Job> {
        self.lock().values().cloned().collect()
    }

    /// From 0 to 1, the same for a job as long as the process lives (FNV-1a).
    fn share(&self, product: &str, task: Task) -> f64 {
        let bytes = product.bytes().chain(task.as_str().bytes());
        let hash = bytes.fold(0xcbf2_9ce4_8422_2325 ^ self.seed, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        (hash >> 11) as f64 / (1u64 << 53) as f64
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<Key, Job>> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn later(now: Timestamp, by: Duration) -> Timestamp {
    chrono::TimeDelta::from_std(by).ok().and_then(|by| now.checked_add_signed(by)).unwrap_or(now)
}
