//! `meshwork plan`, `meshwork apply`, `meshwork drift`

use clap::Args;
use meshwork_control::mesh::{Drift as Found, Outcome, Planned};
use meshwork_core::error::{Error, Result};
use meshwork_core::mesh::Mesh;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::{Context, check};
use crate::client::{Call, Client};
use crate::exit;
use crate::output::Printer;

#[derive(Debug, Args)]
pub struct Plan {
    /// Exit with 1 when something would change
    #[arg(long)]
    detailed_exitcode: bool,
    /// Retire products that are no longer in the folder
    #[arg(long)]
    prune: bool,
}

#[derive(Debug, Args)]
pub struct Apply {
    /// Retire products that are no longer in the folder
    #[arg(long)]
    prune: bool,
}

#[derive(Debug, Args)]
pub struct Drift {
    /// Exit with 1 when there is drift
    #[arg(long)]
    detailed_exitcode: bool,
}

impl Plan {
    pub async fn run(self, context: &Context) -> Result<u8> {
        let mesh = check::declared(context)?;
        let client = context.client().await?;
        let planned = plan(&client, &mesh, self.prune).await?;
        let printer = &context.printer;
        if printer.is_for_people() {
            printer.raw(&planned.plan.to_text());
        } else {
            printer.item(&json!(planned));
        }
        if let Some(error) = refusal(&planned) {
            return Err(error);
        }
        Ok(if self.detailed_exitcode && !planned.plan.is_empty() { exit::CHANGES } else { exit::OK })
    }
}

impl Apply {
    pub async fn run(self, context: &Context) -> Result<u8> {
        let mesh = check::declared(context)?;
        let client = context.client().await?;
        apply(context, &client, &mesh, self.prune).await?;
        Ok(exit::OK)
    }
}

/// Plans, applies, shows.
pub async fn apply(context: &Context, client: &Client, mesh: &Mesh, prune: bool) -> Result<()> {
    let printer = &context.printer;
    let planned = plan(client, mesh, prune).await?;
    if let Some(error) = refusal(&planned) {
        if printer.is_for_people() {
            printer.raw(&planned.plan.to_text());
        }
        return Err(error);
    }
    let body = json!({"mesh": mesh, "base": planned.base, "prune": prune});
    let outcome: Outcome = typed(client.json(Call::post("apply", body)).await?)?;
    if !printer.is_for_people() {
        printer.item(&json!(outcome));
        return Ok(());
    }
    printer.told(&outcome.plan.to_text());
    match outcome.plan.changes.len() {
        0 => printer.note(&format!("revision {} is up to date", outcome.revision)),
        1 => printer.note(&format!("applied 1 change: revision {}", outcome.revision)),
        n => printer.note(&format!("applied {n} changes: revision {}", outcome.revision)),
    }
    Ok(())
}

impl Drift {
    pub async fn run(self, context: &Context) -> Result<u8> {
        let mesh = check::declared(context)?;
        let client = context.client().await?;
        let answer = client.json(Call::post("drift", json!({"mesh": mesh}))).await?;
        let found: Found = typed(answer.clone())?;
        let printer = &context.printer;
        if printer.is_for_people() {
            show(printer, &found);
        } else {
            printer.item(&answer);
        }
        Ok(if self.detailed_exitcode && !found.is_empty() { exit::CHANGES } else { exit::OK })
    }
}

fn show(printer: &Printer, found: &Found) {
    if found.is_empty() {
        printer.note("no drift");
        return;
    }
    if !found.plan.is_empty() {
        printer.raw(&found.plan.to_text());
    }
    for product in &found.absent {
        printer.line(&format!("{} {product} is applied, but not in this folder", printer.warn("!")));
    }
    for foreign in &found.foreign {
        let versions: Vec<String> = foreign.versions.iter().map(u64::to_string).collect();
        let (table, versions) = (&foreign.table, versions.join(", "));
        let mark = printer.bad("!");
        printer.line(&format!("{mark} {table}: commits that no publication made, never served: {versions}"));
    }
    for error in &found.unreadable {
        printer.line(&format!("{} {error}", printer.bad("!")));
    }
}

async fn plan(client: &Client, mesh: &Mesh, prune: bool) -> Result<Planned> {
    typed(client.json(Call::post("plan", json!({"mesh": mesh, "prune": prune}))).await?)
}

fn typed<T: DeserializeOwned>(answer: Value) -> Result<T> {
    serde_json::from_value(answer)
        .map_err(|error| Error::environment("MW1009", format!("the server's answer is not understood: {error}")))
}

/// Why the plan must not be applied.
fn refusal(planned: &Planned) -> Option<Error> {
    let problems = &planned.plan.problems;
    let many = match problems.len() {
        0 => return None,
        1 => "a problem".to_owned(),
        n => format!("{n} problems"),
    };
    let error = Error::check("MW1028", format!("the plan cannot be applied as it stands: it has {many}"));
    Some(error.with_diagnostics(problems.clone()))
}
