//! Users, passwords, tokens: the one credential check for all ports (D14).

mod limiter;
mod password;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use meshwork_core::audit::{Entry, Event};
use meshwork_core::effect::{Clock, Entropy, Timestamp};
use meshwork_core::error::{Error, Result};
use meshwork_core::id::{Ids, TokenId, UserId};
use meshwork_core::name::Name;
use meshwork_core::principal::{FOLDER_OWNER, Principal, Subject};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use self::limiter::Limiter;
use self::password::Passwords;
use crate::mesh::MeshReader;
use crate::port::audit::AuditSink;
use crate::port::state::{CredentialState, Token, User};

/// Who somebody claims to be, with the proof.
#[derive(Clone)]
pub enum Credential {
    Basic { user: String, password: String },
    Bearer(String),
}

impl std::fmt::Debug for Credential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Basic { .. } => f.write_str("Basic(…)"),
            Self::Bearer(_) => f.write_str("Bearer(…)"),
        }
    }
}

/// Where a credential came in; for the audit log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// `http`, `postgres`.
    pub port: Option<String>,
    pub address: Option<String>,
}

/// A user as an administrator describes it. Without `password` an existing one is kept.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewUser {
    pub name: String,
    #[serde(default)]
    pub teams: Vec<Name>,
    #[serde(default)]
    pub admin: bool,
    #[serde(default)]
    pub password: Option<String>,
    #[serde(default)]
    pub disabled: bool,
}

impl std::fmt::Debug for NewUser {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "NewUser({})", self.name)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewToken {
    pub user: String,
    pub label: String,
    #[serde(default)]
    pub expires_at: Option<Timestamp>,
    /// Every session with this token has this purpose (D16).
    #[serde(default)]
    pub purpose: Option<String>,
}

/// How long the first administrator may wait before signing in.
const FIRST_TOKEN_DAYS: i64 = 7;
const FIRST_ADMIN: &str = "admin";
const TOKEN_PREFIX: &str = "mw_";
/// The audit log does not keep a name that nobody has: people type passwords there.
const NOBODY: &str = "anonymous";

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
        Self { state, mesh, audit, clock, entropy, passwords, limiter: Mutex::default(), owner: Mutex::default() }
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
        let Some(token) = self.state.token_by_hash(&hash).await? else {
            // 256 random bits cannot be guessed; this only keeps the log from being flooded.
            self.limiter().check_all(now)?;
            self.limiter().failed_anyone(now);
            return self.refused(NOBODY, origin, unknown_token()).await;
        };
        if token.expires_at.is_some_and(|at| at <= now) {
            return self.refused(&token.user, origin, expired_token()).await;
        }
        let Some(user) = self.state.user(&token.user).await?.filter(|user| !user.disabled) else {
            return self.refused(&token.user, origin, unknown_token()).await;
        };
        let mut subject = self.subject_of(&user).await?;
        subject.purpose = token.purpose;
        subject.token = Some(token.id);
        subject.valid_until = token.expires_at;
        Ok(subject)
    }

    async fn refused(&self, name: &str, origin: &Origin, error: Error) -> Result<Subject> {
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

    // -------------------------------------------------------------------------------------------------- first start

    /// Where nobody can sign in as an administrator: makes the user `admin` and a token for it that lasts seven days,
    /// handed to `deliver` (which writes it to a 0600 file) before it counts. Returns whether it did.
    pub async fn first_start(&self, deliver: impl FnOnce(&str) -> Result<()> + Send) -> Result<bool> {
        let now = self.clock.now();
        for user in self.state.users().await?.into_iter().filter(|user| user.admin && !user.disabled) {
            let live = |token: &Token| token.expires_at.is_none_or(|at| now < at);
            if user.password_hash.is_some() || self.state.tokens(Some(&user.name)).await?.iter().any(live) {
                return Ok(false);
            }
        }
        let known = self.state.user(FIRST_ADMIN).await?;
        let admin = User { admin: true, disabled: false, ..known.unwrap_or_else(|| self.new_user(FIRST_ADMIN)) };
        let expires_at = Some(now + chrono::Duration::days(FIRST_TOKEN_DAYS));
        let label = "first start".to_owned();
        let (token, secret) = self.new_token(NewToken { user: admin.name.clone(), label, expires_at, purpose: None });
        // Delivered first: a token that counts but was never delivered would lock everyone out for a week.
        deliver(&secret)?;
        self.change(&Principal::User(FOLDER_OWNER.to_owned()), "token.create", token.id.as_str()).await?;
        self.state.put_user(&admin).await?;
        self.state.put_token(&token).await?;
        Ok(true)
    }

    /// A token for whoever can read the server's `server.json`: the folder owner's root, as long as this process lives.
    /// A second call replaces the first.
    pub fn owner_token(&self) -> String {
        let secret = self.new_secret();
        *self.owner.lock().unwrap_or_else(PoisonError::into_inner) = Some(token_hash(&secret));
        secret
    }

    // -------------------------------------------------------------------------------------------- users and tokens

    /// By name; hashes are not blanked: never show them.
    pub async fn users(&self) -> Result<Vec<User>> {
        self.state.users().await
    }

    /// Creates or changes a user.
    pub async fn put_user(&self, actor: &Subject, new: NewUser) -> Result<User> {
        check_name(&new.name)?;
        let known = self.state.user(&new.name).await?;
        let mut user = known.unwrap_or_else(|| self.new_user(&new.name));
        user.teams = new.teams;
        user.admin = new.admin;
        user.disabled = new.disabled;
        if let Some(password) = new.password {
            user.password_hash = Some(self.passwords.hash(password, &*self.entropy).await?);
        }
        user.credential_version += 1;
        self.change(&actor.principal, "user.put", user.id.as_str()).await?;
        self.state.put_user(&user).await?;
        Ok(user)
    }

    pub async fn remove_user(&self, actor: &Subject, name: &str) -> Result<()> {
        let user = self.state.user(name).await?.ok_or_else(|| unknown_user(name))?;
        self.change(&actor.principal, "user.remove", user.id.as_str()).await?;
        self.state.remove_user(name).await
    }

    /// Newest first; hashes are not blanked: never show them.
    pub async fn tokens(&self, user: Option<&str>) -> Result<Vec<Token>> {
        self.state.tokens(user).await
    }

    /// The token and its secret, which is told once and not kept.
    pub async fn create_token(&self, actor: &Subject, new: NewToken) -> Result<(Token, String)> {
        if new.expires_at.is_some_and(|at| at <= self.clock.now()) {
            return Err(Error::usage("MW0908", "the token would expire in the past").hint("give a later time"));
        }
        self.state.user(&new.user).await?.ok_or_else(|| unknown_user(&new.user))?;
        let (token, secret) = self.new_token(new);
        self.change(&actor.principal, "token.create", token.id.as_str()).await?;
        self.state.put_token(&token).await?;
        Ok((token, secret))
    }

    pub async fn remove_token(&self, actor: &Subject, id: &TokenId) -> Result<()> {
        self.change(&actor.principal, "token.remove", id.as_str()).await?;
        self.state.remove_token(id).await
    }

    /// Recorded before it happens, like everything.
    async fn change(&self, actor: &Principal, action: &str, object: &str) -> Result<()> {
        let event = Event::Access { action: action.to_owned(), object: object.to_owned(), table: None, purpose: None };
        self.audit.record(Entry::new(self.clock.now(), actor.clone(), event)).await
    }

    fn new_user(&self, name: &str) -> User {
        User {
            id: UserId::generate(self.ids()),
            name: name.to_owned(),
            teams: Vec::new(),
            admin: false,
            password_hash: None,
            credential_version: 0,
            disabled: false,
        }
    }

    fn new_token(&self, new: NewToken) -> (Token, String) {
        let secret = self.new_secret();
        let token = Token {
            id: TokenId::generate(self.ids()),
            user: new.user,
            label: new.label,
            hash: token_hash(&secret),
            created_at: self.clock.now(),
            expires_at: new.expires_at,
            purpose: new.purpose,
        };
        (token, secret)
    }

    fn new_secret(&self) -> String {
        let mut bytes = [0; 32];
        self.entropy.fill(&mut bytes);
        format!("{TOKEN_PREFIX}{}", BASE64.encode(bytes))
    }

    fn ids(&self) -> Ids<'_> {
        Ids { clock: &*self.clock, entropy: &*self.entropy }
    }

    fn limiter(&self) -> std::sync::MutexGuard<'_, Limiter> {
        self.limiter.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Names go into headers, logs and policies: short, visible, ASCII.
fn check_name(name: &str) -> Result<()> {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '@' | '+');
    if name.is_empty() || name.len() > 64 || !name.chars().all(fits) {
        return Err(Error::usage("MW0907", format!("`{}` is not a user name", name.escape_debug()))
            .hint("use 1 to 64 of the characters a to z, A to Z, 0 to 9, `.`, `_`, `-`, `@`, `+`"));
    }
    if [FOLDER_OWNER, NOBODY].contains(&name) {
        return Err(Error::usage("MW0907", format!("the user name `{name}` is reserved")).hint("choose another"));
    }
    Ok(())
}

fn token_hash(secret: &str) -> String {
    Sha256::digest(secret.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn wrong_password() -> Error {
    Error::unauthenticated("MW0900", "the user name or the password is wrong")
}

fn unknown_token() -> Error {
    Error::unauthenticated("MW0901", "the token is not known").hint("it may have been revoked: ask for a new one")
}

fn expired_token() -> Error {
    Error::unauthenticated("MW0902", "the token has expired").hint("create a new one")
}

fn unknown_user(name: &str) -> Error {
    Error::not_found("MW0416", format!("there is no user `{}`", name.escape_debug()))
}

/// Password hashes that were checked before, so that a busy client does not pay argon2 for each request.
type Verified = HashMap<String, (UserId, u64, [u8; 32])>;
