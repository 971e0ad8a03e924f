//! What handlers work with: the use cases, and the ports of which reads need no use case of their own.

use std::sync::Arc;

use meshwork_control::access::AccessService;
use meshwork_control::audit::AuditService;
use meshwork_control::backup::BackupService;
use meshwork_control::credential::CredentialService;
use meshwork_control::maintenance::MaintenanceService;
use meshwork_control::mesh::MeshService;
use meshwork_control::port::state::{PublicationState, RunLedger};
use meshwork_control::quarantine::QuarantineService;
use meshwork_control::query::QueryService;
use meshwork_control::run::RunService;
use meshwork_core::effect::{Clock, Entropy};

use super::metrics::Metrics;

#[derive(Clone)]
pub struct AppState {
    pub credentials: Arc<CredentialService>,
    pub mesh: Arc<MeshService>,
    pub query: Arc<QueryService>,
    pub access: Arc<AccessService>,
    pub runs: Arc<RunService>,
    pub quarantine: QuarantineService,
    pub audit: Arc<AuditService>,
    pub backup: BackupService,
    pub maintenance: MaintenanceService,
    pub ledger: Arc<dyn RunLedger>,
    pub publications: Arc<dyn PublicationState>,
    pub clock: Arc<dyn Clock>,
    pub entropy: Arc<dyn Entropy>,
    pub metrics: Arc<Metrics>,
}
