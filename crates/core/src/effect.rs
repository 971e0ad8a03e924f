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
