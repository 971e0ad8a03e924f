//! Failed sign-ins slow down whoever fails: each user name by itself, and all together.
//!
//! The check comes before any look at the password, also at remembered ones: else a refused guesser would still learn
//! from the speed or the success of a right guess. Unknown names count like known ones.

use std::collections::HashMap;

use meshwork_core::effect::Timestamp;
use meshwork_core::error::{Error, Result};

/// Failures in a row that cost nothing.
const FREE: u32 = 5;
/// The longest pause, in seconds.
const LONGEST: i64 = 60;
/// Failures of all together within one window, and its length in seconds.
const ALL: u32 = 200;
const WINDOW: i64 = 10;
/// Names that are remembered.
const NAMES: usize = 10_000;

#[derive(Debug, Default)]
pub(super) struct Limiter {
    names: HashMap<String, Failures>,
    window: Option<(Timestamp, u32)>,
}

#[derive(Clone, Copy, Debug)]
struct Failures {
    in_a_row: u32,
    last: Timestamp,
    /// No attempt counts before this.
    until: Timestamp,
}

impl Limiter {
    pub(super) fn check(&mut self, name: &str, now: Timestamp) -> Result<()> {
        self.check_all(now)?;
        match self.names.get(name) {
            Some(failures) if now < failures.until => Err(too_many((failures.until - now).num_seconds() + 1)),
            _ => Ok(()),
        }
    }

    pub(super) fn check_all(&mut self, now: Timestamp) -> Result<()> {
        match self.window {
            Some((start, count)) if now < start + seconds(WINDOW) && count >= ALL => {
                Err(too_many((start + seconds(WINDOW) - now).num_seconds() + 1))
            }
            _ => Ok(()),
        }
    }

    pub(super) fn failed(&mut self, name: &str, now: Timestamp) {
        self.failed_anyone(now);
        if self.names.len() >= NAMES && !self.names.contains_key(name) {
            self.forget_oldest();
        }
        let failures = self.names.entry(name.to_owned()).or_insert(Failures { in_a_row: 0, last: now, until: now });
        failures.in_a_row = failures.in_a_row.saturating_add(1);
        failures.last = now;
        if let Some(over) = failures.in_a_row.checked_sub(FREE) {
            failures.until = now + seconds(LONGEST.min(1 << over.min(6)));
        }
    }

    pub(super) fn failed_anyone(&mut self, now: Timestamp) {
        self.window = match self.window {
            Some((start, count)) if now < start + seconds(WINDOW) => Some((start, count.saturating_add(1))),
            _ => Some((now, 1)),
        };
    }

    pub(super) fn succeeded(&mut self, name: &str) {
        self.names.remove(name);
    }

    /// The half that failed longest ago: rarely, so that it costs little each time.
    fn forget_oldest(&mut self) {
        let mut times: Vec<Timestamp> = self.names.values().map(|failures| failures.last).collect();
        times.sort_unstable();
        let middle = times[times.len() / 2];
        self.names.retain(|_, failures| failures.last > middle);
    }
}

fn seconds(count: i64) -> chrono::Duration {
    chrono::Duration::seconds(count)
}

fn too_many(wait: i64) -> Error {
    Error::limit("MW0904", format!("too many failed sign-ins: try again in {wait} s"))
        .hint("a token is not affected by the failures of others")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_timestamp(1_767_225_600 + second, 0).expect("in range")
    }

    #[test]
    fn five_are_free_then_pauses_double() {
        let mut limiter = Limiter::default();
        for _ in 0..4 {
            limiter.failed("ana", at(0));
        }
        assert_eq!(limiter.check("ana", at(0)), Ok(()));
        limiter.failed("ana", at(0));
        assert!(limiter.check("ana", at(0)).is_err());
        assert_eq!(limiter.check("ana", at(1)), Ok(()));
        limiter.failed("ana", at(1));
        assert!(limiter.check("ana", at(2)).is_err());
        assert_eq!(limiter.check("ana", at(3)), Ok(()));
        assert_eq!(limiter.check("bob", at(1)), Ok(()), "others are not slowed down");
    }

    #[test]
    fn a_success_forgives() {
        let mut limiter = Limiter::default();
        (0..9).for_each(|_| limiter.failed("ana", at(0)));
        limiter.succeeded("ana");
        assert_eq!(limiter.check("ana", at(0)), Ok(()));
    }

    #[test]
    fn many_names_together_are_slowed_down_too() {
        let mut limiter = Limiter::default();
        (0..ALL).for_each(|n| limiter.failed(&format!("user{n}"), at(0)));
        assert!(limiter.check("ana", at(5)).is_err());
        assert_eq!(limiter.check("ana", at(WINDOW)), Ok(()));
    }

    #[test]
    fn memory_is_bounded() {
        let mut limiter = Limiter::default();
        (0..3 * NAMES).for_each(|n| limiter.failed(&format!("user{n}"), at(n as i64)));
        assert!(limiter.names.len() <= NAMES);
    }
}
