//! The commands: one file each. Here: what they share, and how one is chosen and ended.

mod access;
mod apply;
mod audit;
mod backup;
mod catalog;
mod check;
mod complete;
mod context;
mod demo;
mod dev;
mod diff;
mod doctor;
mod explain;
mod fmt;
mod from;
mod init;
mod log;
mod login;
mod maintain;
mod publication;
mod quarantine;
mod run;
mod schema;
mod secret;
mod serve;
mod sql;
mod test;
mod token;
mod user;
mod verify;
mod version;
mod whoami;

use std::future::Future;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use meshwork_core::error::{Error, Kind, Result};

use crate::client::Client;
use crate::compose::Reach;
use crate::config::Config;
use crate::output::{Color, Format, Printer};
use crate::{compose, exit, process};

/// A data mesh in one binary: products and contracts as code, checked, published, governed and served.
#[derive(Debug, Parser)]
#[command(name = "meshwork", version, about, max_term_width = 110, disable_help_subcommand = true)]
pub struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Global options")]
pub struct Global {
    /// The mesh folder [default: the nearest one upwards with a mesh.yaml; MESHWORK_DIR]
    #[arg(short = 'C', long = "directory", value_name = "DIR", global = true, overrides_with = "directory")]
    pub directory: Option<PathBuf>,
    /// Talk to this server instead of working on the folder [MESHWORK_SERVER]
    #[arg(long, value_name = "URL", global = true)]
    pub server: Option<String>,
    /// The server of this name, as `meshwork context` knows it [MESHWORK_CONTEXT]
    #[arg(long, value_name = "NAME", global = true, conflicts_with = "server")]
    pub context: Option<String>,
    /// Credential for the server [MESHWORK_TOKEN]; a file keeps it out of the process list
    #[arg(long, global = true, conflicts_with = "token_file")]
    pub token: Option<String>,
    /// File that holds the credential, `-` for standard input [MESHWORK_TOKEN_FILE]
    #[arg(long, value_name = "FILE", global = true)]
    pub token_file: Option<PathBuf>,
    /// Certificates of the authorities, PEM, that the server's may come from beside those of this machine [MESHWORK_CA_CERT]
    #[arg(long, value_name = "FILE", global = true)]
    pub ca_cert: Option<PathBuf>,
    /// Act as this principal: `user:ana`, `product:sales.orders`
    #[arg(long = "as", value_name = "PRINCIPAL", global = true)]
    pub act_as: Option<String>,
    /// A limit of queries or runs here, such as `query.memory=4GiB` or `run.time=1h`; repeat for several [MESHWORK_LIMITS]
    #[arg(long, value_name = "NAME=VALUE", global = true)]
    pub limits: Vec<String>,
    /// How to print data
    #[arg(short, long, value_enum, value_name = "FORMAT", global = true)]
    pub output: Option<Format>,
    /// Only data and errors
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// More about what happens; twice for all
    #[arg(short, long, action = clap::ArgAction::Count, global = true)]
    pub verbose: u8,
    /// Colour the output
    #[arg(long, value_enum, default_value_t, global = true)]
    pub color: Color,
    /// Never ask; fail where an answer would be needed
    #[arg(long, global = true)]
    pub no_input: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a new mesh folder
    Init(init::Init),
    /// Add a domain, a product or a contract to the mesh folder
    New(init::New),
    /// Check the mesh folder: offline, everything at once
    Check(check::Check),
    /// Put manifests and contracts into their canonical form
    Fmt(fmt::Fmt),
    /// Explain an error code
    Explain(explain::Explain),
    /// Run the tests of products: rows in, rows out
    Test(test::Test),
    /// JSON Schemas of the files of a mesh
    Schema(schema::Schema),
    /// Show what `apply` would change
    Plan(apply::Plan),
    /// Make the mesh folder what the mesh is
    Apply(apply::Apply),
    /// Show where the mesh differs from the folder
    Drift(apply::Drift),
    /// Build, check and publish products
    Run(run::Run),
    /// Past and present runs
    Runs(run::Runs),
    /// What a run wrote to its log
    Logs(log::Logs),
    /// Rows that runs have set aside: see, repair, release
    Quarantine(quarantine::Quarantine),
    /// Compact small files; remove what no kept publication needs
    #[command(visible_alias = "collect")]
    Maintain(maintain::Maintain),
    /// Housekeeping in the background of the server
    Jobs(maintain::Jobs),
    /// What a publication changed in a table, row by row
    Diff(diff::Diff),
    /// Query published tables; a shell on a terminal
    Sql(sql::Sql),
    /// Agreements: who may read what, for which purpose, until when
    Access(access::Access),
    /// Domains of the mesh
    Domain(catalog::Domain),
    /// Data products
    Product(catalog::Product),
    /// Contracts
    Contract(catalog::Contract),
    /// What was published when
    #[command(visible_alias = "publication")]
    Publications(publication::Publications),
    /// The audit trail
    Audit(audit::Audit),
    /// The whole mesh as one file, while it goes on being used
    Backup(backup::Backup),
    /// A mesh from a backup, in a new folder
    Restore(backup::Restore),
    /// Local users
    User(user::User),
    /// API tokens
    Token(token::Token),
    /// Get a token of your own from a server, and keep it
    Login(login::Login),
    /// Revoke the token that `login` got, and forget it
    Logout(login::Logout),
    /// Who the server thinks you are
    Whoami,
    /// Serve the mesh: HTTP API and Postgres wire
    Serve(serve::Serve),
    /// Develop: a mesh of your own beside the real one, built again with every save
    Dev(dev::Dev),
    /// An example mesh, from nothing to queries
    Demo(demo::Demo),
    /// Servers that you work with, and their credentials
    #[command(name = "context")]
    Contextual(context::Contextual),
    /// Look for what stands in the way of this mesh
    Doctor(doctor::Doctor),
    /// Version of this binary; with -v of what it is built on
    Version,
    /// Completion script for a shell
    Completions(complete::Completions),
    /// Manual pages
    Man(complete::Man),
    /// The child process of a run
    #[command(name = "__run", hide = true)]
    ChildOfRun,
}

/// What commands work with.
pub struct Context {
    pub config: Config,
    pub printer: Printer,
    reach: tokio::sync::OnceCell<Reach>,
}

impl Context {
    pub fn new(config: Config) -> Self {
        Self { printer: Printer::new(&config), config, reach: tokio::sync::OnceCell::new() }
    }

    /// The API: a server's, or this process's own.
    pub async fn client(&self) -> Result<Client> {
        compose::client(&self.config, self.reach().await?).await
    }

    pub async fn reach(&self) -> Result<&Reach> {
        self.reach.get_or_try_init(|| compose::reach(&self.config)).await
    }

    /// Puts in order what the command left running.
    async fn close(&self) {
        if let Some(Reach::Embedded(platform)) = self.reach.get() {
            platform.close(SETTLING).await;
        }
    }
}

/// How long stopped runs may take to kill their processes and record their end.
const SETTLING: Duration = Duration::from_secs(10);

pub fn main() -> ExitCode {
    complete::answer();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let verbose =
                std::env::args().any(|arg| arg == "--verbose" || (arg.starts_with("-v") && !arg.starts_with("--")));
            if error.kind() == clap::error::ErrorKind::DisplayVersion && verbose {
                print!("{}", version::text(true));
                return ExitCode::from(exit::OK);
            }
            let _ = error.print();
            // Help and version are what was asked for.
            return ExitCode::from(if error.use_stderr() { exit::code(Kind::Usage) } else { exit::OK });
        }
    };
    if matches!(cli.command, Command::ChildOfRun) {
        return ExitCode::from(process::child::main());
    }
    let config = match Config::read(&cli.global) {
        Ok(config) => config,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(exit::code(error.kind));
        }
    };
    let context = Context::new(config);
    match dispatch(cli.command, &context) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            context.printer.error(&error);
            ExitCode::from(exit::code(error.kind))
        }
    }
}

fn dispatch(command: Command, context: &Context) -> Result<u8> {
    use Command as C;
    let prints_rows = match &command {
        C::Sql(_) => true,
        C::Quarantine(quarantine) => quarantine.prints_rows(),
        _ => false,
    };
    if context.config.format == Some(Format::Parquet) && !prints_rows {
        return Err(Error::usage("MW1003", "only `meshwork sql` and `meshwork quarantine show` print Parquet"));
    }
    match command {
        C::Init(args) => args.run(context),
        C::New(args) => args.run(context),
        C::Check(args) => args.run(context),
        C::Explain(args) => args.run(context),
        C::Schema(args) => args.run(context),
        C::Fmt(args) => args.run(context),
        C::Contextual(args) => args.run(context),
        C::Doctor(args) => block_on(context, args.run(context)),
        C::Version => version::run(context),
        C::Completions(args) => args.run(context),
        C::Man(args) => args.run(context),
        C::Plan(args) => block_on(context, args.run(context)),
        C::Apply(args) => block_on(context, args.run(context)),
        C::Drift(args) => block_on(context, args.run(context)),
        C::Run(args) => block_on(context, args.run(context)),
        C::Runs(args) => block_on(context, args.run(context)),
        C::Logs(args) => block_on(context, args.run(context)),
        C::Backup(args) => block_on(context, args.run(context)),
        C::Restore(args) => block_on(context, args.run(context)),
        C::Quarantine(args) => block_on(context, args.run(context)),
        C::Maintain(args) => block_on(context, args.run(context)),
        C::Jobs(args) => block_on(context, args.run(context)),
        C::Diff(args) => block_on(context, args.run(context)),
        C::Test(args) => block_on(context, args.run(context)),
        C::Sql(args) if args.is_shell(context) => args.shell(context, &runtime(context, "warn")?),
        C::Sql(args) => block_on(context, args.run(context)),
        C::Access(args) => block_on(context, args.run(context)),
        C::Domain(args) => block_on(context, args.run(context)),
        C::Product(args) => block_on(context, args.run(context)),
        C::Contract(args) => block_on(context, args.run(context)),
        C::Publications(args) => block_on(context, args.run(context)),
        C::Audit(args) => block_on(context, args.run(context)),
        C::User(args) => block_on(context, args.run(context)),
        C::Token(args) => block_on(context, args.run(context)),
        C::Login(args) => block_on(context, args.run(context)),
        C::Logout(args) => block_on(context, args.run(context)),
        C::Whoami => block_on(context, whoami::run(context)),
        C::Serve(args) => runtime(context, "info,sqlx=warn")?.block_on(args.run(context)),
        C::Dev(args) => runtime(context, "warn")?.block_on(args.run(context)),
        C::Demo(args) => runtime(context, "warn")?.block_on(args.run(context)),
        C::ChildOfRun => Ok(process::child::main()),
    }
}

/// Runs a command that needs the runtime, which `check` and its like do not pay for. Ctrl-C drops it, and with it the
/// streams that it reads: that stops its runs.
fn block_on(context: &Context, command: impl Future<Output = Result<u8>>) -> Result<u8> {
    let runtime = runtime(context, "warn")?;
    runtime.block_on(async {
        let result = tokio::select! {
            result = command => result,
            () = terminated() => Err(Error::new(Kind::Interrupted, "MW1010", "stopped")),
        };
        context.close().await;
        result
    })
}

fn runtime(context: &Context, log: &str) -> Result<tokio::runtime::Runtime> {
    compose::log(&context.config, log);
    tokio::runtime::Builder::new_multi_thread()
        .thread_stack_size(8 << 20)
        .enable_all()
        .build()
        .map_err(|error| Error::environment("MW1004", format!("no threads: {error}")))
}

/// SIGINT or SIGTERM.
pub async fn terminated() {
    use tokio::signal::unix::{SignalKind, signal};
    let wait = async |kind| match signal(kind) {
        Ok(mut signals) => {
            signals.recv().await;
        }
        Err(_) => std::future::pending().await,
    };
    tokio::select! {
        () = wait(SignalKind::interrupt()) => {}
        () = wait(SignalKind::terminate()) => {}
    }
}
