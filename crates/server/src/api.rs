//! One file a noun: what it looks like on the wire, its handlers, its routes.

pub mod agreement;
pub mod audit;
pub mod backup;
pub mod contract;
pub mod data;
pub mod diff;
pub mod domain;
pub mod health;
pub mod login;
pub mod maintenance;
pub mod mesh;
pub mod plan;
pub mod problem_code;
pub mod product;
pub mod publication;
pub mod quarantine;
pub mod query;
pub mod run;
pub mod token;
pub mod user;
mod visible;
pub mod whoami;

/// How a plain enum is written in JSON: `source-aligned`, `committing`.
fn word(value: &impl serde::Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        _ => String::new(),
    }
}
