//! The composed use cases: what `server` and the CLI hold. Built once in the binary.

use std::sync::Arc;

use meshwork_core::effect::{Clock, Entropy};

use crate::port::data::{QueryEngine, RunEngine, SqlChecker, StorageProbe};
use crate::port::state::{AgreementState, AuditState, CredentialState, MeshState, PublicationState, RunLedger};

/// Everything outside that the use cases need.
#[derive(Clone)]
pub struct Ports {
    pub mesh: Arc<dyn MeshState>,
    pub runs: Arc<dyn RunLedger>,
    pub publications: Arc<dyn PublicationState>,
    pub agreements: Arc<dyn AgreementState>,
    pub credentials: Arc<dyn CredentialState>,
    pub audit: Arc<dyn AuditState>,
    pub query: Arc<dyn QueryEngine>,
    pub run: Arc<dyn RunEngine>,
    pub sql: Arc<dyn SqlChecker>,
    pub storage: Arc<dyn StorageProbe>,
    pub clock: Arc<dyn Clock>,
    pub entropy: Arc<dyn Entropy>,
}
