//! Every stable error code with its long form, as `meshwork explain` prints it. One file an area; a code is never
//! given a second meaning.

mod access;
mod command;
mod contract;
mod infer;
mod manifest;
mod plan;
mod query;
mod run;
mod serve;
mod source;
mod state;

/// A code, what it means, and what to do about it.
#[derive(Clone, Copy, Debug)]
pub struct CodeInfo {
    pub code: &'static str,
    pub title: &'static str,
    /// Markdown: why it is an error, an example, how to fix it.
    pub help: &'static str,
}

const AREAS: [&[CodeInfo]; 11] = [
    manifest::CODES,
    contract::CODES,
    plan::CODES,
    state::CODES,
    source::CODES,
    run::CODES,
    access::CODES,
    query::CODES,
    serve::CODES,
    command::CODES,
    infer::CODES,
];

pub fn all() -> impl Iterator<Item = &'static CodeInfo> {
    AREAS.iter().flat_map(|area| area.iter())
}

pub fn find(code: &str) -> Option<&'static CodeInfo> {
    all().find(|info| info.code.eq_ignore_ascii_case(code))
}
