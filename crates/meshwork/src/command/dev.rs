//! `meshwork dev`: a mesh of one's own beside the real one, built again with every save.
//!
//! Its state and its tables lie under `.meshwork/dev/`, new with every session. Products of domains that are not developed
//! are read from the real mesh on the governed path; nothing else of the real mesh is touched.

mod scope;
mod session;
mod upstream;
mod watch;

use std::collections::BTreeSet;
use std::io::IsTerminal;

use clap::Args;
use clap_complete::engine::ArgValueCandidates;
use meshwork_core::error::{Error, Kind, Result};
use meshwork_core::sample;

use self::session::{Ports, Session};
use self::watch::Watch;
use super::{Context, complete, terminated};
use crate::{compose, exit};

#[derive(Debug, Args)]
pub struct Dev {
    /// `domain.product`, `domain` or `all`: what is built here; what it reads from other domains comes from the mesh
    #[arg(value_name = "SELECTOR", default_value = "all", add = ArgValueCandidates::new(complete::products))]
    products: Vec<String>,
    /// How much of each source and upstream table is read: a number of rows, a share such as `1%`, or `all`
    #[arg(long, value_name = "SAMPLE", default_value = "10000")]
    sample: String,
    /// Build once and end; the exit code tells how it went
    #[arg(long)]
    once: bool,
    /// Address of the HTTP API over what is built; `off` for none
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8090")]
    http: String,
    /// Address of the Postgres wire; `off` for none
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:5434")]
    pg: String,
}

impl Dev {
    pub async fn run(self, context: &Context) -> Result<u8> {
        let folder = compose::mesh_folder(&context.config)?;
        let sample = sample::parse(&self.sample).map_err(|why| Error::usage("MW1072", why))?;
        let ports = match self.once || self.http == "off" {
            true => None,
            false => Some(Ports { http: self.http.clone(), pg: Some(self.pg.clone()).filter(|pg| pg != "off") }),
        };
        let mut session = Session::open(context, folder, self.products, sample, ports).await?;
        let ended = if self.once {
            let nothing = BTreeSet::new();
            let built = tokio::select! {
                built = session.build(&nothing) => built,
                () = terminated() => Err(Error::new(Kind::Interrupted, "MW1010", "stopped")),
            };
            built.map(|good| if good { exit::OK } else { exit::code(Kind::Check) })
        } else {
            tokio::select! {
                ended = follow(context, &mut session) => ended.map(|()| exit::OK),
                () = terminated() => Ok(exit::OK),
            }
        };
        session.close().await;
        ended
    }
}

/// Builds, waits for saves, builds again; a save while it builds begins anew.
async fn follow(context: &Context, session: &mut Session<'_>) -> Result<()> {
    let mut watch = Watch::of(session.folder(), session.storage_folders())?;
    let mut changed = BTreeSet::new();
    loop {
        clear(context);
        let (done, more) = tokio::select! {
            built = session.build(&changed) => (Some(built), BTreeSet::new()),
            more = watch.next() => (None, more),
        };
        match done {
            Some(built) => {
                if let Err(error) = built {
                    context.printer.error(&error);
                }
                session.show_ports();
                context.printer.note(&context.printer.dim("waiting for changes; Ctrl-C ends"));
                changed = watch.next().await;
            }
            None => {
                session.settle().await;
                changed.extend(more);
            }
        }
    }
}

fn clear(context: &Context) {
    if context.printer.draws() && context.printer.is_for_people() && std::io::stdout().is_terminal() {
        context.printer.raw("\u{1b}[2J\u{1b}[3J\u{1b}[H");
    }
}
