//! Who may call which action of the API on which resource: roles, not data. What a reader sees *of* data is decided by
//! [`crate::policy`].
//!
//! Existence is secret: an action on something that the caller may not discover fails exactly as if it did not exist.
//! `permission/golden.txt` shows every role × action × resource; a test keeps it true.

#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::name::Name;
use crate::principal::{Grantee, Principal, Subject};

/// Everything that a caller can ask of the platform; each HTTP route names exactly one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ApiAction {
    // Without a credential.
    ReadApiDescription,
    ReadHealth,
    Login,
    // About oneself.
    WhoAmI,
    // The catalog. Lists are filtered by what the caller discovers.
    ReadMesh,
    ListDomains,
    ReadDomain,
    ListProducts,
    ReadProduct,
    ListContracts,
    ReadContract,
    ListPublications,
    ReadPublication,
    // Runs.
    ListRuns,
    ReadRun,
    ReadRunQuality,
    ReadRunLog,
    StartRun,
    // Housekeeping. The list is filtered by what the caller owns.
    Maintain,
    ListJobs,
    // Rows that runs have set aside: for the owner team only. The list is filtered.
    ListQuarantine,
    ReadQuarantine,
    ReleaseQuarantine,
    // Changing what is declared.
    Plan,
    Apply,
    Drift,
    // Agreements. The list is filtered by `ReadAgreement`.
    ListAgreements,
    ReadAgreement,
    Grant,
    Revoke,
    // Data. What comes back is decided table by table.
    Query,
    ReadData,
    // Users and tokens.
    ListUsers,
    PutUser,
    RemoveUser,
    ListTokens,
    CreateToken,
    RemoveToken,
    Impersonate,
    // Watching.
    ReadAudit,
    VerifyAudit,
    EraseAudit,
    ReadMetrics,
    // All of it, secrets included.
    Backup,
}

impl ApiAction {
    pub const ALL: [Self; 44] = [
        Self::ReadApiDescription,
        Self::ReadHealth,
        Self::Login,
        Self::WhoAmI,
        Self::ReadMesh,
        Self::ListDomains,
        Self::ReadDomain,
        Self::ListProducts,
        Self::ReadProduct,
        Self::ListContracts,
        Self::ReadContract,
        Self::ListPublications,
        Self::ReadPublication,
        Self::ListRuns,
        Self::ReadRun,
        Self::ReadRunQuality,
        Self::ReadRunLog,
        Self::StartRun,
        Self::Maintain,
        Self::ListJobs,
        Self::ListQuarantine,
        Self::ReadQuarantine,
        Self::ReleaseQuarantine,
        Self::Plan,
        Self::Apply,
        Self::Drift,
        Self::ListAgreements,
        Self::ReadAgreement,
        Self::Grant,
        Self::Revoke,
        Self::Query,
        Self::ReadData,
        Self::ListUsers,
        Self::PutUser,
        Self::RemoveUser,
        Self::ListTokens,
        Self::CreateToken,
        Self::RemoveToken,
        Self::Impersonate,
        Self::ReadAudit,
        Self::VerifyAudit,
        Self::EraseAudit,
        Self::ReadMetrics,
        Self::Backup,
    ];

    /// `start_run`, as in the golden table and in messages.
    pub fn name(self) -> String {
        let debug = format!("{self:?}");
        let mut name = String::new();
        for c in debug.chars() {
            if c.is_ascii_uppercase() && !name.is_empty() {
                name.push('_');
            }
            name.push(c.to_ascii_lowercase());
        }
        name
    }
}

/// The facts about a resource that a permission depends on.
#[derive(Clone, Copy, Debug)]
pub enum Resource<'a> {
    /// The installation as a whole: governance files, all users, all tokens, the audit log.
    Mesh,
    Domain {
        domain: &'a Name,
    },
    /// A product, or anything that belongs to one: an output, its contract, a publication, a run.
    Product {
        domain: &'a Name,
        /// What the caller called it (`product sales.orders`, `run 0199…`); for the message when it must stay unknown.
        called: &'a str,
        /// `policy::Policies::discovers` for any of its outputs, or that the caller owns the domain.
        discoverable: bool,
    },
    /// An agreement on an output of `domain`.
    Agreement {
        domain: &'a Name,
        grantee: &'a Grantee,
        called: &'a str,
    },
    /// A user, or a token of that user.
    User {
        name: &'a str,
    },
    /// Audit entries in which this principal is actor or subject.
    AuditOf {
        principal: &'a Principal,
    },
}

/// The same answer for what does not exist and for what the caller may not know of.
pub fn unknown(called: &str) -> Error {
    Error::not_found("MW0742", format!("there is no {called}, or it is not yours to see"))
}

/// Whether `subject` (`None`: no credential) may do this. The error is fit to be shown to the caller.
pub fn may(subject: Option<&Subject>, action: ApiAction, resource: Resource<'_>) -> Result<()> {
    use ApiAction as A;
    if matches!(action, A::ReadApiDescription | A::ReadHealth | A::Login) {
        return Ok(());
    }
    let Some(subject) = subject else {
        return Err(Error::unauthenticated("MW0740", "this needs a credential")
            .hint("sign in with a user and password, or send `Authorization: Bearer TOKEN`"));
    };
    secrecy(subject, resource)?;
    hidden(subject, action, resource)?;
    let allowed = match action {
        A::ReadApiDescription | A::ReadHealth | A::Login | A::WhoAmI => true,
        A::ReadMesh
        | A::ListDomains
        | A::ReadDomain
        | A::ListProducts
        | A::ReadProduct
        | A::ListContracts
        | A::ReadContract
        | A::ListPublications
        | A::ReadPublication
        | A::ListRuns
        | A::ReadRun
        | A::ReadRunQuality
        | A::ListJobs
        | A::ListQuarantine
        | A::ListAgreements
        | A::ReadAgreement
        | A::Query
        | A::ReadData
        | A::Plan
        | A::Drift => true,
        // What a run's child wrote to its log may quote data: for owners only, not even for administrators (D20).
        A::ReadRunLog | A::ReadQuarantine | A::ReleaseQuarantine => owns(subject, resource),
        A::StartRun | A::Maintain | A::Apply | A::Grant | A::Revoke => owns(subject, resource) || subject.admin,
        A::ListTokens | A::CreateToken | A::RemoveToken | A::ReadAudit => is_self(subject, resource) || subject.admin,
        A::ListUsers
        | A::PutUser
        | A::RemoveUser
        | A::Impersonate
        | A::VerifyAudit
        | A::EraseAudit
        | A::ReadMetrics
        | A::Backup => subject.admin,
    };
    if allowed { Ok(()) } else { Err(refused(subject, action, resource)) }
}

/// 404 before 403: a caller who may not know that the resource exists learns nothing from any action on it.
fn secrecy(subject: &Subject, resource: Resource<'_>) -> Result<()> {
    match resource {
        Resource::Product { called, discoverable: false, .. } if !owns(subject, resource) => Err(unknown(called)),
        Resource::Agreement { grantee, called, .. }
            if !(owns(subject, resource) || subject.admin || (grantee.covers(subject) && subject.scope.is_none())) =>
        {
            Err(unknown(called))
        }
        _ => Ok(()),
    }
}

/// Whether a product has quarantined rows is its owners' to know: to others the quarantine does not exist, whatever else
/// they know of the product.
fn hidden(subject: &Subject, action: ApiAction, resource: Resource<'_>) -> Result<()> {
    match (action, resource) {
        (ApiAction::ReadQuarantine | ApiAction::ReleaseQuarantine, Resource::Product { called, .. })
            if !owns(subject, resource) =>
        {
            Err(unknown(called))
        }
        _ => Ok(()),
    }
}

fn owns(subject: &Subject, resource: Resource<'_>) -> bool {
    match resource {
        Resource::Domain { domain } | Resource::Product { domain, .. } | Resource::Agreement { domain, .. } => {
            subject.owns(domain)
        }
        Resource::Mesh | Resource::User { .. } | Resource::AuditOf { .. } => false,
    }
}

/// A token that is confined does not speak for its user as a whole: it makes none that is not, and reads nothing of what
/// the user does elsewhere.
fn is_self(subject: &Subject, resource: Resource<'_>) -> bool {
    match resource {
        _ if subject.scope.is_some() => false,
        Resource::User { name } => matches!(&subject.principal, Principal::User(own) if own == name),
        Resource::AuditOf { principal } => subject.principal == *principal,
        _ => false,
    }
}

const ADMINISTRATOR: &str = "an administrator of the mesh can";

fn done_to_a_product(action: ApiAction) -> &'static str {
    match action {
        ApiAction::StartRun => "run products",
        ApiAction::Maintain => "maintain tables",
        ApiAction::Apply => "apply changes",
        ApiAction::Grant => "grant access to products",
        ApiAction::Revoke => "revoke access to products",
        _ => "read the logs of runs",
    }
}

fn refused(subject: &Subject, action: ApiAction, resource: Resource<'_>) -> Error {
    let who = &subject.principal;
    let (what, hint) = match (action, resource) {
        (ApiAction::ListUsers, _) => ("see the users of this mesh".to_owned(), ADMINISTRATOR),
        (ApiAction::PutUser, _) => ("create or change users".to_owned(), ADMINISTRATOR),
        (ApiAction::RemoveUser, _) => ("remove users".to_owned(), ADMINISTRATOR),
        (ApiAction::ListTokens | ApiAction::CreateToken | ApiAction::RemoveToken, _) if subject.scope.is_some() => (
            "keep tokens with one that is confined".to_owned(),
            "sign in with a password, or with a token without a scope",
        ),
        (ApiAction::ListTokens, _) => ("see the tokens of others".to_owned(), "your own are yours to see"),
        (ApiAction::CreateToken, _) => ("make tokens for others".to_owned(), "you may make tokens for yourself"),
        (ApiAction::RemoveToken, _) => ("remove the tokens of others".to_owned(), ADMINISTRATOR),
        (ApiAction::Impersonate, _) => ("act for others".to_owned(), ADMINISTRATOR),
        (ApiAction::VerifyAudit, _) => ("verify the audit log".to_owned(), ADMINISTRATOR),
        (ApiAction::EraseAudit, _) => ("erase anybody from the audit log".to_owned(), ADMINISTRATOR),
        (ApiAction::ReadMetrics, _) => ("read the metrics".to_owned(), ADMINISTRATOR),
        (ApiAction::Backup, _) => ("take a backup of the mesh".to_owned(), ADMINISTRATOR),
        (ApiAction::Apply, Resource::Mesh) => {
            ("apply the mesh's own settings or governance".to_owned(), "an administrator applies those")
        }
        (
            ApiAction::StartRun
            | ApiAction::Maintain
            | ApiAction::Apply
            | ApiAction::Grant
            | ApiAction::Revoke
            | ApiAction::ReadRunLog,
            Resource::Domain { domain } | Resource::Product { domain, .. } | Resource::Agreement { domain, .. },
        ) => (
            format!("{} of domain `{domain}`", done_to_a_product(action)),
            "the members of the owning domain's team can: `meshwork domain list` names it",
        ),
        (ApiAction::ReadAudit, _) => (
            "read the audit entries of others".to_owned(),
            "your own entries are yours to read; an administrator sees all",
        ),
        _ => (action.name().replace('_', " "), ADMINISTRATOR),
    };
    Error::forbidden("MW0741", format!("{who} may not {what}")).hint(hint)
}
