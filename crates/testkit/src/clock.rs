use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use meshwork_core::effect::{Clock, Timestamp};

/// Stands still until told to move.
#[derive(Debug)]
pub struct TestClock {
    micros: AtomicI64,
}

/// 2026-01-01 00:00 UTC and so many seconds.
pub fn moment(seconds: i64) -> Timestamp {
    Timestamp::from_timestamp(1_767_225_600 + seconds, 0).expect("a test's time is in range")
}

impl TestClock {
    pub fn new() -> Self {
        Self { micros: AtomicI64::new(moment(0).timestamp_micros()) }
    }

    pub fn set(&self, at: Timestamp) {
        self.micros.store(at.timestamp_micros(), Ordering::SeqCst);
    }

    pub fn advance(&self, by: Duration) {
        let by = i64::try_from(by.as_micros()).expect("a test's step is in range");
        self.micros.fetch_add(by, Ordering::SeqCst);
    }
}

impl Default for TestClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_timestamp_micros(self.micros.load(Ordering::SeqCst)).expect("set from a valid time")
    }
}
