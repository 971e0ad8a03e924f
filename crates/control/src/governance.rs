//! The applied mesh and its policies as of one policy epoch: what every decision is made from.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use meshwork_core::agreement::Agreement;
use meshwork_core::effect::Timestamp;
use meshwork_core::error::{Error, Result};
use meshwork_core::id::OutputId;
use meshwork_core::mesh::Mesh;
use meshwork_core::name::Name;
use meshwork_core::policy::{Decision, Policies};
use meshwork_core::principal::Subject;
use meshwork_core::product::Product;

use crate::port::state::{AgreementState, MeshState};

/// How long an execution waits for the state to say what holds; then it is denied (D17).
const PATIENCE: Duration = Duration::from_millis(500);

/// Decisions kept for one epoch; beyond that they are made afresh.
const DECISIONS: usize = 4096;

/// Reads the policy epoch for every execution and everything else only when the epoch has changed.
pub struct Governance {
    mesh: Arc<dyn MeshState>,
    agreements: Arc<dyn AgreementState>,
    newest: Mutex<Option<Arc<Epoch>>>,
}

impl Governance {
    pub fn new(mesh: Arc<dyn MeshState>, agreements: Arc<dyn AgreementState>) -> Self {
        Self { mesh, agreements, newest: Mutex::new(None) }
    }

    /// What holds now. MW0710 when the state does not say in time.
    pub async fn now(&self) -> Result<Arc<Epoch>> {
        let number = match tokio::time::timeout(PATIENCE, self.mesh.policy_epoch()).await {
            Ok(Ok(number)) => number,
            Ok(Err(error)) => return Err(unverified().hint(error.message)),
            Err(_) => return Err(unverified()),
        };
        let known = self.newest.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(known) = known.filter(|epoch| epoch.number == number) {
            return Ok(known);
        }
        // Read after the number: should something change in between, this is newer than its label and read again.
        let applied = self.mesh.applied().await?;
        let policies = applied.mesh.as_ref().map(Policies::load);
        let mut agreements: HashMap<OutputId, Vec<Agreement>> = HashMap::new();
        for agreement in self.agreements.agreements().await? {
            agreements.entry(agreement.output.clone()).or_default().push(agreement);
        }
        let epoch = Arc::new(Epoch {
            number,
            revision: applied.revision,
            mesh: applied.mesh,
            policies,
            agreements,
            decisions: Mutex::default(),
        });
        *self.newest.lock().unwrap_or_else(PoisonError::into_inner) = Some(epoch.clone());
        Ok(epoch)
    }
}

fn unverified() -> Error {
    Error::environment("MW0710", "access could not be verified in time, so it is refused")
}

/// Everything that decisions depend on, save publications and time. Never changes.
pub struct Epoch {
    pub number: u64,
    /// Of the applied mesh.
    pub revision: u64,
    /// `None` before the first apply.
    pub mesh: Option<Mesh>,
    policies: Option<Result<Policies>>,
    agreements: HashMap<OutputId, Vec<Agreement>>,
    decisions: Mutex<HashMap<String, Arc<Decision>>>,
}

impl Epoch {
    /// `Ok(None)` before the first apply, when there is nothing to decide about.
    pub fn policies(&self) -> Result<Option<&Policies>> {
        match &self.policies {
            None => Ok(None),
            Some(Ok(policies)) => Ok(Some(policies)),
            Some(Err(error)) => Err(error.clone()),
        }
    }

    pub fn agreements_of(&self, output: &OutputId) -> &[Agreement] {
        self.agreements.get(output).map_or(&[], Vec::as_slice)
    }

    /// Whether the subject may know of the product: it discovers one of its outputs, or the product is of its own domain.
    pub fn discovers(&self, subject: &Subject, domain: &Name, product: &Product) -> bool {
        let Ok(Some(policies)) = self.policies() else { return false };
        let own = subject.is_home(domain) || subject.admin;
        (own && product.outputs.is_empty())
            || product.outputs.values().any(|output| policies.discovers(subject, domain, product, output))
    }

    /// The kept decision under `key`, if its time has not run out.
    pub(crate) fn kept(&self, key: &str, now: Timestamp) -> Option<Arc<Decision>> {
        let decisions = self.decisions.lock().unwrap_or_else(PoisonError::into_inner);
        decisions.get(key).filter(|d| d.valid_until.is_none_or(|until| now < until)).cloned()
    }

    pub(crate) fn keep(&self, key: String, decision: &Arc<Decision>) {
        let mut decisions = self.decisions.lock().unwrap_or_else(PoisonError::into_inner);
        if decisions.len() >= DECISIONS {
            decisions.clear();
        }
        decisions.insert(key, decision.clone());
    }
}
