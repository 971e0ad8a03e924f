//! Users, passwords, tokens: the one credential check for all ports (D14).

mod account;
mod claim;
mod limiter;
mod login;
mod password;

use std::sync::{Arc, Mutex, PoisonError};

use meshwork_core::audit::{Entry, Event};
use meshwork_core::effect::{Clock, Entropy, Timestamp};
use meshwork_core::error::{Error, Result};
use meshwork_core::id::Ids;
use meshwork_core::principal::{FOLDER_OWNER, Principal, Subject};
use sha2::{Digest, Sha256};

pub use self::account::{NewToken, NewUser};
pub use self::claim::{Credential, Origin};
use self::limiter::Limiter;
pub use self::login::{Login, NewLogin};
use self::password::Passwords;
use crate::mesh::MeshReader;
use crate::port::audit::AuditSink;
use crate::port::state::{CredentialState, Token, User};

/// The audit log does not keep a name that nobody has: people type passwords there.
const NOBODY: &str = "anonymous";

/// Told the secret of a one-time token that was exchanged.
type Spent = Box<dyn Fn(&str) + Send + Sync>;

pub struct CredentialService {
    state: Arc<dyn CredentialState>,
    mesh: Arc<MeshReader>,
    audit: Arc<dyn AuditSink>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    passwords: Passwords,
    limiter: Mutex<Limiter>,
    /// Hash of the folder owner's token while this process serves.
    owner: Mutex<Option<String>>,
    /// What is to happen to a one-time token's copies once it was exchanged.
    spent: Option<Spent>,
}

impl CredentialService {
    pub fn new(
        state: Arc<dyn CredentialState>,
        mesh: Arc<MeshReader>,
        audit: Arc<dyn AuditSink>,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Self {
        let passwords = Passwords::new(&*entropy);
        let (limiter, owner) = (Mutex::default(), Mutex::default());
        Self { state, mesh, audit, clock, entropy, passwords, limiter, owner, spent: None }
    }

    /// Calls `told` with each one-time token that was exchanged: whoever put it into a file removes that.
    #[must_use]
    pub fn when_spent(self, told: impl Fn(&str) + Send + Sync + 'static) -> Self {
        Self { spent: Some(Box::new(told)), ..self }
    }

    // ----------------------------------------------------------------------------------------------------- sign in

    pub async fn authenticate(&self, credential: Credential) -> Result<Subject> {
        self.authenticate_from(credential, &Origin::default()).await
    }

    /// Who it is, or MW0900 (password), MW0901 (token), MW0902 (expired token), MW0904 (too many failures).
    pub async fn authenticate_from(&self, credential: Credential, origin: &Origin) -> Result<Subject> {
        match credential {
            Credential::Basic { user, password } => self.by_password(&user, password, origin).await,
            Credential::Bearer(secret) => self.by_token(&secret, origin).await,
        }
    }

    async fn by_password(&self, name: &str, password: String, origin: &Origin) -> Result<Subject> {
        self.limiter().check(name, self.clock.now())?;
        let user = self.state.user(name).await?;
        let hash = user.as_ref().filter(|user| !user.disabled).and_then(|user| user.password_hash.clone());
        // An unknown user, a disabled one and one without a password cost as much as a wrong password.
        let right = match (&user, hash) {
            (Some(user), Some(hash)) => self.passwords.verify(user, hash, password).await?,
            _ => self.passwords.refuse(password).await?,
        };
        match user {
            Some(user) if right => {
                self.limiter().succeeded(name);
                self.subject_of(&user).await
            }
            user => {
                self.limiter().failed(name, self.clock.now());
                let who = user.as_ref().map_or(NOBODY, |user| &user.name);
                self.refused(who, origin, wrong_password()).await
            }
        }
    }

    async fn by_token(&self, secret: &str, origin: &Origin) -> Result<Subject> {
        let hash = token_hash(secret);
        if self.owner.lock().unwrap_or_else(PoisonError::into_inner).as_deref() == Some(&hash) {
            return self.owner_subject().await;
        }
        let now = self.clock.now();
        let found = if account::is_whole(secret) { self.state.token_by_hash(&hash).await? } else { None };
        let Some(token) = found else {
            // 256 random bits cannot be guessed; this only keeps the log from being flooded.
            self.limiter().check_all(now)?;
            self.limiter().failed_anyone(now);
            return self.refused(NOBODY, origin, unknown_token()).await;
        };
        let user = match self.usable(&token).await {
            Ok(_) if token.one_time => return self.refused(&token.user, origin, login::only_to_exchange()).await,
            Ok(user) => user,
            Err(error) => return self.refused(&token.user, origin, error).await,
        };
        self.note_use(&token, now).await;
        let mut subject = self.subject_of(&user).await?.confined(token.scope);
        subject.purpose = token.purpose;
        subject.token = Some(token.id);
        subject.valid_until = token.expires_at;
        Ok(subject)
    }

    /// For those who look for tokens that nobody needs any more.
    async fn note_use(&self, token: &Token, now: Timestamp) {
        if token.last_used_at.is_some_and(|before| now - before < chrono::Duration::minutes(1)) {
            return;
        }
        // A state that cannot be written keeps nobody from reading.
        if let Err(error) = self.state.use_token(&token.id, now).await {
            tracing::warn!(%error, token = %token.id, "the use of a token is not noted");
        }
    }

    /// The user of a token that counts now.
    async fn usable(&self, token: &Token) -> Result<User> {
        if token.spent_at.is_some() {
            return Err(login::spent());
        }
        if token.expires_at.is_some_and(|at| at <= self.clock.now()) {
            return Err(expired_token());
        }
        self.state.user(&token.user).await?.filter(|user| !user.disabled).ok_or_else(unknown_token)
    }

    async fn refused<T>(&self, name: &str, origin: &Origin, error: Error) -> Result<T> {
        let event = Event::SignInFailed { port: origin.port.clone(), error: error.code.clone() };
        let entry = Entry::new(self.clock.now(), Principal::User(name.to_owned()), event);
        self.audit.record(entry.from_address(origin.address.clone())).await?;
        Err(error)
    }

    // ------------------------------------------------------------------------------------------------------ subjects

    /// A principal with what holds for it now, without any proof: for `--as` (where the caller may impersonate) and for
    /// products. A user that does not exist has the rights that follow from domain members alone.
    pub async fn subject(&self, principal: &Principal) -> Result<Subject> {
        match principal {
            Principal::Product { domain, product } => Ok(Subject::product(domain.clone(), product.clone())),
            Principal::User(name) if name == FOLDER_OWNER => self.owner_subject().await,
            Principal::User(name) => match self.state.user(name).await? {
                Some(user) => self.subject_of(&user).await,
                None => {
                    let applied = self.mesh.applied().await?;
                    Ok(Subject::user(name, [], false, applied.mesh.as_ref()))
                }
            },
        }
    }

    async fn owner_subject(&self) -> Result<Subject> {
        Ok(Subject::owner(self.mesh.applied().await?.mesh.as_ref()))
    }

    async fn subject_of(&self, user: &User) -> Result<Subject> {
        let applied = self.mesh.applied().await?;
        Ok(Subject::user(&user.name, user.teams.iter().cloned(), user.admin, applied.mesh.as_ref()))
    }

    fn ids(&self) -> Ids<'_> {
        Ids { clock: &*self.clock, entropy: &*self.entropy }
    }

    fn limiter(&self) -> std::sync::MutexGuard<'_, Limiter> {
        self.limiter.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn token_hash(secret: &str) -> String {
    Sha256::digest(secret.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn wrong_password() -> Error {
    Error::unauthenticated("MW0900", "the user name or the password is wrong")
}

fn unknown_token() -> Error {
    Error::unauthenticated("MW0901", "the token is not known")
        .hint("it may have been revoked, or a part of it is missing: ask for a new one")
}

fn expired_token() -> Error {
    Error::unauthenticated("MW0902", "the token has expired").hint("create a new one")
}
