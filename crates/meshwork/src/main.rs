//! The `meshwork` binary: command line, configuration, composition, and the child process of a run.
//!
//! Architecture invariant: this is the only crate that sees `store`, `engine` and `server` together, and `config` is the
//! only module that reads the environment.

mod backup;
mod client;
mod command;
mod compose;
mod config;
mod contexts;
mod effect;
mod example;
mod exit;
mod output;
mod process;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    command::main()
}
