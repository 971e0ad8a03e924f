//! How values stand in rows: times as microseconds, numbers as 64-bit signed, bodies as JSON.

use meshwork_core::effect::Timestamp;
use meshwork_core::error::{Error, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;

pub(crate) fn micros(at: Timestamp) -> i64 {
    at.timestamp_micros()
}

pub(crate) fn timestamp(micros: i64) -> Result<Timestamp> {
    Timestamp::from_timestamp_micros(micros).ok_or_else(|| unreadable("a time is out of range"))
}

pub(crate) fn signed(number: u64) -> Result<i64> {
    i64::try_from(number).map_err(|_| unreadable("a number is too large"))
}

pub(crate) fn unsigned(number: i64) -> Result<u64> {
    u64::try_from(number).map_err(|_| unreadable("a number is negative"))
}

pub(crate) fn to_json<T: Serialize>(value: &T) -> Result<String> {
    serde_json::to_string(value).map_err(|error| unreadable(&error.to_string()))
}

pub(crate) fn from_json<T: DeserializeOwned>(text: &str) -> Result<T> {
    serde_json::from_str(text).map_err(|error| unreadable(&error.to_string()))
}

pub(crate) fn bodies<T: DeserializeOwned>(rows: &[String]) -> Result<Vec<T>> {
    rows.iter().map(|row| from_json(row)).collect()
}

pub(crate) fn unreadable(why: &str) -> Error {
    Error::internal("MW0409", format!("a stored value cannot be read: {why}"))
}
