//! A session lives longer than what was known of its subject at sign-in: teams change, users and tokens are removed.

use meshwork_core::error::{Error, Result};
use meshwork_core::principal::{FOLDER_OWNER, Principal, Subject};

use super::{QueryPorts, QuerySession};
use crate::governance::Epoch;

/// The session's subject with the rights it has in this epoch. An error when it (or the actor behind it) is gone.
pub(super) async fn refreshed(ports: &QueryPorts, epoch: &Epoch, session: &QuerySession) -> Result<Subject> {
    let actor = known(ports, epoch, &session.actor).await?;
    if session.actor.principal == session.subject.principal {
        return match actor {
            Some(subject) => Ok(kept(subject, &session.subject)),
            None => Err(gone(&session.actor.principal)),
        };
    }
    let Some(actor) = actor else { return Err(gone(&session.actor.principal)) };
    if !actor.admin {
        let message = format!("{} may no longer act for others", actor.principal);
        return Err(Error::forbidden("MW0741", message).hint("only administrators may"));
    }
    // Simulating a principal that has no record is what `--as` is for: its rights follow from the mesh alone.
    let subject = known(ports, epoch, &session.subject).await?;
    Ok(subject.map_or_else(|| session.subject.clone(), |subject| kept(subject, &session.subject)))
}

/// What the state says of a subject now; `None` when it says nothing.
async fn known(ports: &QueryPorts, epoch: &Epoch, subject: &Subject) -> Result<Option<Subject>> {
    let mesh = epoch.mesh.as_ref();
    let name = match &subject.principal {
        Principal::Product { domain, product } => {
            return Ok(Some(Subject::product(domain.clone(), product.clone())));
        }
        Principal::User(name) => name,
    };
    let Some(user) = ports.credentials.user(name).await? else {
        return Ok((name == FOLDER_OWNER && subject.admin).then(|| Subject::owner(mesh)));
    };
    if user.disabled {
        return Ok(None);
    }
    if let Some(token) = &subject.token {
        let now = ports.clock.now();
        let tokens = ports.credentials.tokens(Some(name)).await?;
        if !tokens.iter().any(|t| t.id == *token && t.expires_at.is_none_or(|at| now < at)) {
            return Ok(None);
        }
    }
    Ok(Some(Subject::user(name, user.teams, user.admin, mesh)))
}

/// What the credential brought along stays.
fn kept(mut now: Subject, session: &Subject) -> Subject {
    now.purpose.clone_from(&session.purpose);
    now.token.clone_from(&session.token);
    now.valid_until = session.valid_until;
    now.confined(session.scope.clone())
}

fn gone(principal: &Principal) -> Error {
    Error::unauthenticated("MW0740", format!("the credential of {principal} is no longer valid"))
        .hint("sign in again; if that fails, ask an administrator")
}
