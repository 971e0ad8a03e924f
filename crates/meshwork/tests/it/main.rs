//! End to end: the built binary on meshes in temporary folders.

mod backup;
mod bad_input;
mod command;
mod contract_test;
mod crash;
mod daily;
mod dev;
mod docs_page;
mod drivers;
mod faults;
mod from;
mod from_sources;
mod limits;
mod login;
mod maintain;
mod matrix;
mod mesh;
mod modes;
mod publish;
mod redteam;
mod s3;
mod serve;
mod shell;
mod sources;
mod terminal;
