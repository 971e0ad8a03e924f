//! What any backend of the state must do. Written against the traits only, so that every backend runs the same tests;
//! each gets a fresh state.

mod agreement;
mod audit;
mod crash;
mod credential;
mod mesh;
mod publication;
mod quarantine;
mod run;
mod sqlite;
mod table;

use meshwork_control::port::state::{
    AgreementState, AuditState, CredentialState, MeshState, PublicationState, QuarantineState, RunLedger, TableState,
};
use meshwork_core::error::{Error, Result};

pub(crate) trait Backend:
    MeshState
    + RunLedger
    + PublicationState
    + TableState
    + QuarantineState
    + AgreementState
    + CredentialState
    + AuditState
    + Clone
    + 'static
{
}

impl<T> Backend for T where
    T: MeshState
        + RunLedger
        + PublicationState
        + TableState
        + QuarantineState
        + AgreementState
        + CredentialState
        + AuditState
        + Clone
        + 'static
{
}

fn code<T: std::fmt::Debug>(result: Result<T>) -> String {
    match result {
        Ok(value) => panic!("should fail, gives {value:?}"),
        Err(Error { code, .. }) => code,
    }
}
