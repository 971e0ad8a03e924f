//! For tests only: a clock that is set by hand, randomness that repeats, and builders for the nouns.
//!
//! Builders give the smallest thing that is valid; a test changes the fields that it is about.

mod build;
mod clock;
mod entropy;
mod postgres;
mod random_sql;

pub use build::{agreement, contract, domain, field, mesh, name, output, product, publication, report, run, table};
pub use clock::{TestClock, moment};
pub use entropy::SeededEntropy;
pub use postgres::Postgres;
pub use random_sql::RandomSql;
