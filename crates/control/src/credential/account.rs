//! Users and their tokens, as administrators keep them, and the first administrator.

use std::sync::PoisonError;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use meshwork_core::audit::{Entry, Event};
use meshwork_core::effect::Timestamp;
use meshwork_core::error::{Error, Result};
use meshwork_core::id::{TokenId, UserId};
use meshwork_core::name::TeamName;
use meshwork_core::principal::{FOLDER_OWNER, Principal, Subject, TokenScope, is_user_name};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{CredentialService, NOBODY, token_hash};
use crate::port::state::{Token, User};

/// A user as an administrator describes it. Without `password` an existing one is kept.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewUser {
    pub name: String,
    #[serde(default)]
    pub teams: Vec<TeamName>,
    #[serde(default)]
    pub admin: bool,
    #[serde(default)]
    pub password: Option<String>,
    #[serde(default)]
    pub disabled: bool,
    /// A program, which signs in with tokens only.
    #[serde(default)]
    pub service: bool,
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
    /// Good for one login only; it then lasts for a day at most.
    #[serde(default)]
    pub one_time: bool,
    /// What it is confined to; absent: its user's rights are its own.
    #[serde(default)]
    pub scope: Option<TokenScope>,
}

/// No token lasts longer; one whose end is not said lasts as long.
pub(super) const MOST_DAYS: i64 = 90;
/// How long a one-time token waits for its login.
const ONE_TIME_HOURS: i64 = 24;
const FIRST_ADMIN: &str = "admin";
const OWNER_PREFIX: &str = "mw_owner_";
const PERSONAL_PREFIX: &str = "mw_pat_";
const SERVICE_PREFIX: &str = "mw_svc_";
/// A client can tell by this that there is something to exchange.
pub const ONE_TIME_PREFIX: &str = "mw_once_";

impl CredentialService {
    /// Where nobody can sign in as an administrator: makes the user `admin` and a one-time token for it, handed to
    /// `deliver` (which writes it to a 0600 file) before it counts. Returns whether it did.
    pub async fn first_start(&self, deliver: impl FnOnce(&str) -> Result<()> + Send) -> Result<bool> {
        let now = self.clock.now();
        for user in self.state.users().await?.into_iter().filter(|user| user.admin && !user.disabled) {
            let live = |token: &Token| token.spent_at.is_none() && token.expires_at.is_none_or(|at| now < at);
            if user.password_hash.is_some() || self.state.tokens(Some(&user.name)).await?.iter().any(live) {
                return Ok(false);
            }
        }
        let known = self.state.user(FIRST_ADMIN).await?;
        let admin = User { admin: true, disabled: false, ..known.unwrap_or_else(|| self.new_user(FIRST_ADMIN)) };
        let (user, label) = (admin.name.clone(), "first start".to_owned());
        let new = NewToken { user, label, expires_at: None, purpose: None, one_time: true, scope: None };
        let (token, secret) = self.new_token(new, &admin);
        // Delivered first: a token that counts but was never delivered would lock everyone out until it expires.
        deliver(&secret)?;
        self.change(&Principal::User(FOLDER_OWNER.to_owned()), "token.create", token.id.as_str()).await?;
        self.state.put_user(&admin).await?;
        self.state.put_token(&token).await?;
        Ok(true)
    }

    /// A token for whoever can read the server's `server.json`: the folder owner's root, as long as this process lives.
    /// A second call replaces the first.
    pub fn owner_token(&self) -> String {
        let secret = self.new_secret(OWNER_PREFIX);
        *self.owner.lock().unwrap_or_else(PoisonError::into_inner) = Some(token_hash(&secret));
        secret
    }

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
        user.service = new.service;
        if user.service && (new.password.is_some() || user.password_hash.is_some()) {
            let message = format!("`{}` is a service: it signs in with tokens and has no password", user.name);
            return Err(Error::usage("MW0953", message).hint("leave the password out, or make it another user"));
        }
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
        self.check_expiry(new.expires_at)?;
        let user = self.state.user(&new.user).await?.ok_or_else(|| unknown_user(&new.user))?;
        let (token, secret) = self.new_token(new, &user);
        self.change(&actor.principal, "token.create", token.id.as_str()).await?;
        self.state.put_token(&token).await?;
        Ok((token, secret))
    }

    pub async fn remove_token(&self, actor: &Subject, id: &TokenId) -> Result<()> {
        self.change(&actor.principal, "token.remove", id.as_str()).await?;
        self.state.remove_token(id).await
    }

    pub(super) fn check_expiry(&self, expires_at: Option<Timestamp>) -> Result<()> {
        let now = self.clock.now();
        match expires_at {
            Some(at) if at <= now => {
                Err(Error::usage("MW0908", "the token would expire in the past").hint("give a later time"))
            }
            Some(at) if at > now + chrono::Duration::days(MOST_DAYS) => {
                let message = format!("a token lasts {MOST_DAYS} days at most");
                Err(Error::usage("MW0908", message).hint("give an earlier time, and make a new one before it ends"))
            }
            _ => Ok(()),
        }
    }

    /// Recorded before it happens, like everything.
    pub(super) async fn change(&self, actor: &Principal, action: &str, object: &str) -> Result<()> {
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
            service: false,
        }
    }

    pub(super) fn new_token(&self, new: NewToken, of: &User) -> (Token, String) {
        let now = self.clock.now();
        let secret = self.new_secret(match (new.one_time, of.service) {
            (true, _) => ONE_TIME_PREFIX,
            (false, true) => SERVICE_PREFIX,
            (false, false) => PERSONAL_PREFIX,
        });
        let latest = match new.one_time {
            true => now + chrono::Duration::hours(ONE_TIME_HOURS),
            false => now + chrono::Duration::days(MOST_DAYS),
        };
        let token = Token {
            id: TokenId::generate(self.ids()),
            user: new.user,
            label: new.label,
            hash: token_hash(&secret),
            created_at: now,
            expires_at: Some(new.expires_at.map_or(latest, |at| at.min(latest))),
            purpose: new.purpose,
            one_time: new.one_time,
            spent_at: None,
            scope: new.scope,
            last_used_at: None,
        };
        (token, secret)
    }

    fn new_secret(&self, prefix: &str) -> String {
        let mut bytes = [0; 32];
        self.entropy.fill(&mut bytes);
        let secret = format!("{prefix}{}", BASE64.encode(bytes));
        format!("{secret}{}", checksum(&secret))
    }
}

/// Six characters by which a scanner for leaked secrets knows a token for one, and we one that was cut or mistyped.
fn checksum(secret: &str) -> String {
    let digest = Sha256::digest(secret.as_bytes());
    BASE64.encode(&digest[..4])
}

/// Whether a token can be one that was made here: those with a kind in their prefix end with a checksum.
pub(super) fn is_whole(token: &str) -> bool {
    let kinds = [OWNER_PREFIX, PERSONAL_PREFIX, SERVICE_PREFIX];
    let checked = kinds.iter().any(|prefix| token.starts_with(prefix));
    let split = token.len().checked_sub(6).and_then(|at| token.split_at_checked(at));
    !checked || split.is_some_and(|(secret, end)| checksum(secret) == end)
}

fn check_name(name: &str) -> Result<()> {
    if !is_user_name(name) {
        return Err(Error::usage("MW0907", format!("`{}` is not a user name", name.escape_debug())).hint(
            "use 1 to 64 of the characters a to z, A to Z, 0 to 9, `.`, `_`, `-`, `@`, `+`, a letter or digit first",
        ));
    }
    if [FOLDER_OWNER, NOBODY].contains(&name) {
        return Err(Error::usage("MW0907", format!("the user name `{name}` is reserved")).hint("choose another"));
    }
    Ok(())
}

fn unknown_user(name: &str) -> Error {
    Error::not_found("MW0416", format!("there is no user `{}`", name.escape_debug()))
}
