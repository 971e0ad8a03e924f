//! For tests only: a clock that is set by hand, randomness that repeats, and builders for the nouns.
//!
//! Builders give the smallest thing that is valid; a test changes the fields that it is about.

mod build;
mod clock;
mod entropy;
mod mariadb;
mod postgres;
mod process;
mod random_sql;
mod s3;
mod s3_proxy;
mod web;

pub use build::{
    agreement, contract, domain, field, mesh, name, output, product, publication, report, run, table, team,
};
pub use clock::{TestClock, moment};
pub use entropy::SeededEntropy;
pub use mariadb::Mariadb;
pub use postgres::Postgres;
pub use random_sql::RandomSql;
pub use s3::S3;
pub use s3_proxy::{Fault, ProxyRequest, S3Proxy};
pub use web::{Web, WebAnswer, WebRequest};
