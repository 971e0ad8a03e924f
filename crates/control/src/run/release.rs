//! Runs that take rows out of quarantine, and the end of what nobody took out (D8).

use chrono::Duration;
use meshwork_core::error::{Error, Result};
use meshwork_core::id::{OutputId, RunId};
use meshwork_core::name::Name;
use meshwork_core::principal::Subject;
use meshwork_core::product::{Mode, Product};
use meshwork_core::quarantine::{KEPT_DAYS, QuarantineEntry};

use super::RunService;
use super::attempt::product_id;
use super::selection::{Selection, Step, runnable};
use super::update::RunStream;
use crate::port::data::{ReleaseSpec, Repaired};

/// Rows of one output that an earlier run has set aside.
#[derive(Clone, Debug)]
pub struct ReleaseRequest {
    pub of: RunId,
    pub output: OutputId,
    pub major: u32,
    /// As somebody has repaired them; without it all are tried again as they are.
    pub repaired: Option<Repaired>,
}

impl RunService {
    /// Starts a run that takes rows out of the quarantine and into their table, as far as they pass.
    pub async fn release(
        &self,
        actor: &Subject,
        domain: &Name,
        product: &Name,
        request: ReleaseRequest,
    ) -> Result<RunStream> {
        let mesh = self.mesh().await?;
        let found = mesh.domains.get(domain).and_then(|domain| Some((domain, domain.products.get(product)?)));
        let (of_domain, of_product) = found
            .ok_or_else(|| Error::not_found("MW0651", format!("no applied product is called `{domain}.{product}`")))?;
        runnable(of_domain, of_product)?;
        // What can be refused is refused before a run is recorded.
        self.release_spec(of_product, &request).await?;
        let step = Step { domain: domain.clone(), product: product.clone(), after: Vec::new() };
        let selection = Selection { steps: vec![step], skipped: Vec::new() };
        self.settled(&selection).await?;
        Ok(self.begin(actor, mesh, selection, false, Some(request)))
    }

    pub(super) async fn release_spec(&self, product: &Product, request: &ReleaseRequest) -> Result<ReleaseSpec> {
        let entries = self.ports.quarantine.quarantine(Some(product_id(product)?), Some(&request.of)).await?;
        let entry = entries
            .into_iter()
            .find(|entry| entry.output == request.output && entry.major == request.major)
            .ok_or_else(|| nothing_left(&format!("run {} has set no rows aside", request.of)))?;
        if let Some(later) = &entry.superseded_by {
            return Err(nothing_left(&format!(
                "run {later} has built `{}` anew since and judged these rows again",
                entry.name
            )));
        }
        if entry.open_rows() == 0 {
            return Err(nothing_left("all its rows were released"));
        }
        let output = product.outputs.values().find(|output| output.id.as_ref() == Some(&request.output));
        let output = output.filter(|output| output.versions.contains_key(&request.major));
        let output = output.ok_or_else(|| nothing_left(&format!("`{}` is no output any more", entry.name)))?;
        if output.mode == Mode::Full {
            let message =
                format!("output `{}` has `mode: full`: the next run would drop released rows again", output.name);
            return Err(Error::check("MW0679", message)
                .hint("correct the source, the SQL or the contract, and run the product"));
        }
        Ok(ReleaseSpec {
            of: request.of.clone(),
            output: request.output.clone(),
            major: request.major,
            files: entry.quarantined.files,
            released: entry.released,
            repaired: request.repaired.clone(),
        })
    }

    /// Removes what was set aside longer ago than it is kept. What cannot be removed now stays for the next time; it no
    /// longer shows.
    pub async fn expire_quarantine(&self) -> Result<Vec<QuarantineEntry>> {
        let before = self.ports.clock.now() - Duration::days(KEPT_DAYS);
        let expired = self.ports.quarantine.quarantined_before(before).await?;
        let mut removed = Vec::new();
        for entry in expired {
            // A run of the product may be releasing from it: the next time then.
            let guard = self.guard(&entry.product);
            let Ok(_exclusive) = guard.try_lock() else { continue };
            self.ports.quarantine.forget_quarantine(&entry.run, &entry.output, entry.major).await?;
            if let Err(problem) = self.ports.engine.remove_quarantine(&entry.location, &entry.run).await {
                tracing::warn!(run = %entry.run, %problem, "expired rows of the quarantine could not be removed");
            }
            removed.push(entry);
        }
        Ok(removed)
    }
}

fn nothing_left(why: &str) -> Error {
    Error::not_found("MW0681", format!("there is nothing to release: {why}"))
        .hint("`meshwork quarantine list` shows what there is")
}
