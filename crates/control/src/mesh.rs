//! The declared mesh: planning, applying, and seeing where reality drifts from it (D26).

mod drift;
mod reader;
mod view;

use std::borrow::Cow;
use std::sync::Arc;

use meshwork_core::audit::{Entry, Event};
use meshwork_core::error::{Error, Result};
use meshwork_core::id::Ids;
use meshwork_core::mesh::{Domain, Mesh};
use meshwork_core::name::Name;
use meshwork_core::permission::{ApiAction, Resource, may};
use meshwork_core::plan::{self, Circumstances, Plan};
use meshwork_core::principal::Subject;
use meshwork_core::product::Mode;
use serde::{Deserialize, Serialize};

pub use self::drift::{Drift, ForeignCommits};
pub use self::reader::MeshReader;
use crate::platform::Ports;
use crate::port::audit::AuditSink;
use crate::port::state::Applied;
use crate::storage;

pub struct MeshService {
    ports: Ports,
    reader: Arc<MeshReader>,
    audit: Arc<dyn AuditSink>,
}

/// A plan with the revision that it is based on: what `apply` takes as `base`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Planned {
    pub base: u64,
    #[serde(flatten)]
    pub plan: Plan,
}

/// What an apply did.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// The revision that holds now; the same as before when nothing had changed.
    pub revision: u64,
    #[serde(flatten)]
    pub plan: Plan,
}

impl MeshService {
    pub fn new(ports: Ports, reader: Arc<MeshReader>, audit: Arc<dyn AuditSink>) -> Self {
        Self { ports, reader, audit }
    }

    pub async fn applied(&self) -> Result<Arc<Applied>> {
        self.reader.applied().await
    }

    /// What applying `declared` would change, and what stands against it. Connects to nothing: whoever may plan must not
    /// send the server, with its secrets, to a store of their choice.
    pub async fn plan(&self, subject: &Subject, declared: &Mesh, prune: bool) -> Result<Planned> {
        let share = Share::of(subject, declared)?;
        let applied = self.reader.applied().await?;
        let plan = self.compare(&applied, &share, prune).await?;
        Ok(Planned { base: applied.revision, plan })
    }

    /// Applies in one transaction, if the state is still at `base` (else MW0410), nothing stands against it (else MW0320
    /// with every problem), and buckets that are to hold tables from now on are fit for it. Applying what is applied already does nothing, whatever `base` is: a client that did
    /// not hear the answer may ask again.
    pub async fn apply(
        &self,
        actor: &Subject,
        subject: &Subject,
        declared: &Mesh,
        base: u64,
        prune: bool,
    ) -> Result<Outcome> {
        let share = Share::of(subject, declared)?;
        let applied = self.reader.applied().await?;
        let plan = self.compare(&applied, &share, prune).await?;
        if plan.problems.is_empty() && plan.is_empty() {
            return Ok(Outcome { revision: applied.revision, plan });
        }
        if applied.revision != base {
            let message =
                format!("the plan is based on revision {base}, but the mesh is at revision {}", applied.revision);
            return Err(Error::conflict("MW0410", message).hint("plan again, look at what changed, then apply"));
        }
        if !plan.problems.is_empty() {
            let message = match plan.problems.len() {
                1 => "nothing was applied: the plan has a problem".to_owned(),
                count => format!("nothing was applied: the plan has {count} problems"),
            };
            return Err(Error::check("MW0320", message).with_diagnostics(plan.problems));
        }
        permitted(subject, &applied, &share.mesh, &plan)?;
        let ids = Ids { clock: &*self.ports.clock, entropy: &*self.ports.entropy };
        let mut next = plan::assign_ids(applied.mesh.as_ref(), &share.mesh, prune, ids);
        next.id = Some(applied.mesh_id.clone());
        storage::probe_changed(&*self.ports.storage, &applied, &next).await?;
        let changes = serde_json::to_value(&plan.changes)
            .map_err(|error| Error::internal("MW0409", format!("a plan cannot be written: {error}")))?;
        let now = self.ports.clock.now();
        let event = Event::Apply { revision: base + 1, changes: plan.changes.len() as u64 };
        let entry = Entry::new(now, actor.principal.clone(), event).on_behalf_of(subject.principal.clone());
        self.audit.record(entry).await?;
        let revision = self.ports.mesh.apply(base, &next, &changes, &subject.principal, now).await?;
        Ok(Outcome { revision, plan })
    }

    async fn compare(&self, applied: &Applied, share: &Share<'_>, prune: bool) -> Result<Plan> {
        let agreements = self.ports.agreements.agreements().await?;
        let now = self.ports.clock.now();
        let circumstances = Circumstances { prune, agreements: &agreements, now };
        let mut plan = plan::plan(applied.mesh.as_ref(), &share.mesh, circumstances);
        plan.notes.extend(
            share.left_out.iter().map(|name| format!("domain {name} of this checkout is not yours: it is left out")),
        );
        if share.mesh.products().any(|(_, product)| product.outputs.values().any(|o| o.mode == Mode::View)) {
            let ids = Ids { clock: &*self.ports.clock, entropy: &*self.ports.entropy };
            let next = plan::assign_ids(applied.mesh.as_ref(), &share.mesh, prune, ids);
            let sql = &*self.ports.sql;
            let grounds = view::Grounds { mesh: &next, agreements: &agreements, sql, now };
            let found = grounds.check(share.mesh.domains.keys());
            plan.problems.extend(found.problems);
            plan.notes.extend(found.notes);
        }
        Ok(plan)
    }
}

/// What a checkout declares of the domains that are the subject's to apply. Plans tell what is applied and who reads it,
/// so nobody gets one of another's domain; whether such a domain exists makes no difference.
struct Share<'a> {
    mesh: Cow<'a, Mesh>,
    left_out: Vec<Name>,
}

impl<'a> Share<'a> {
    /// An error when the checkout holds domains, but none of the subject's.
    fn of(subject: &Subject, declared: &'a Mesh) -> Result<Self> {
        let allowed = |domain: &Name| may(Some(subject), ApiAction::Apply, Resource::Domain { domain });
        // A policy file of a domain that the checkout does not hold would bind that domain all the same.
        let stray = declared.policies.iter().filter_map(|file| file.domain.as_ref());
        stray.filter(|domain| !declared.domains.contains_key(*domain)).try_for_each(allowed)?;
        let refused: Vec<(Name, Error)> =
            declared.domains.keys().filter_map(|name| Some((name.clone(), allowed(name).err()?))).collect();
        if refused.len() == declared.domains.len()
            && let Some((_, error)) = refused.first()
        {
            return Err(error.clone());
        }
        let left_out: Vec<Name> = refused.into_iter().map(|(name, _)| name).collect();
        let mut mesh = Cow::Borrowed(declared);
        if !left_out.is_empty() {
            let own = mesh.to_mut();
            own.domains.retain(|name, _| !left_out.contains(name));
            own.policies.retain(|policy| policy.domain.as_ref().is_none_or(|domain| !left_out.contains(domain)));
        }
        Ok(Self { mesh, left_out })
    }
}

/// What belongs to the mesh as a whole is an administrator's to change: its settings, its policies, which domains there
/// are, who owns them and where they store (D26).
fn permitted(subject: &Subject, applied: &Applied, declared: &Mesh, plan: &Plan) -> Result<()> {
    let settled = |domain: &Domain| {
        let old = applied.mesh.as_ref().and_then(|mesh| mesh.domain(&domain.name));
        old.is_some_and(|old| (&old.owner, &old.storage) == (&domain.owner, &domain.storage))
    };
    if plan.touches_mesh() || !declared.domains.values().all(settled) {
        return may(Some(subject), ApiAction::Apply, Resource::Mesh);
    }
    Ok(())
}
