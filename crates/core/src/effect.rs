//! Clock and randomness as arguments. The real ones are made in `main`; clippy bans the direct calls elsewhere.

use std::fmt::Debug;

pub type Timestamp = chrono::DateTime<chrono::Utc>;

pub trait Clock: Send + Sync + Debug {
    /// Wall-clock time in UTC, cut to microseconds (what the state and Delta can hold).
    fn now(&self) -> Timestamp;
}

pub trait Entropy: Send + Sync + Debug {
    /// Fills `out` with bytes fit for keys and tokens.
    fn fill(&self, out: &mut [u8]);
}

/// Named steps of a run or an apply at which a test may end the process as `kill -9` would. Nothing happens in production.
pub trait Faults: Send + Sync + Debug {
    fn reach(&self, step: &str);
}

/// No step fails.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoFaults;

impl Faults for NoFaults {
    fn reach(&self, _step: &str) {}
}
