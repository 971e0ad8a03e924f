//! Passwords: argon2id, a few at a time, and what was right once is remembered until the credential changes.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _};
use meshwork_core::effect::Entropy;
use meshwork_core::error::{Error, Result};
use meshwork_core::id::UserId;
use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;

use crate::port::state::User;

/// In characters.
const SHORTEST: usize = 12;
/// In bytes: argon2 takes more, but nobody types it.
const LONGEST: usize = 1024;
/// Each takes 19 MiB and a core for some tens of milliseconds.
const AT_ONCE: usize = 2;
/// Users whose last success is remembered.
const REMEMBERED: usize = 10_000;
/// Of no password: what an unknown user is checked against, with the parameters of a real one.
const NOBODYS: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$bWVzaHdvcmsgbm9ib2R5IQ$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// What was right once, so that a busy client does not pay argon2 for each request.
type Verified = HashMap<String, (UserId, u64, [u8; 32])>;

pub(super) struct Passwords {
    permits: Semaphore,
    /// Of this process: what is remembered is worthless elsewhere.
    secret: [u8; 32],
    verified: Mutex<Verified>,
}

impl Passwords {
    pub(super) fn new(entropy: &dyn Entropy) -> Self {
        let mut secret = [0; 32];
        entropy.fill(&mut secret);
        Self { permits: Semaphore::new(AT_ONCE), secret, verified: Mutex::default() }
    }

    pub(super) async fn hash(&self, password: String, entropy: &dyn Entropy) -> Result<String> {
        if password.chars().count() < SHORTEST || password.len() > LONGEST {
            return Err(Error::usage("MW0903", format!("a password has {SHORTEST} to {LONGEST} characters"))
                .hint("a sentence of a few words is easy to remember and hard to guess"));
        }
        let mut salt = [0; 16];
        entropy.fill(&mut salt);
        self.working(move || {
            let hash = Argon2::default().hash_password_with_salt(password.as_bytes(), &salt);
            hash.map(|hash: PasswordHash| hash.to_string()).map_err(|error| broken(&error.to_string()))
        })
        .await
    }

    pub(super) async fn verify(&self, user: &User, hash: String, password: String) -> Result<bool> {
        let proof = self.proof(user, &password);
        if self.verified().get(&user.name).is_some_and(|known| *known == proof) {
            return Ok(true);
        }
        let right = self.check(hash, password).await?;
        if right {
            let mut verified = self.verified();
            if verified.len() >= REMEMBERED {
                verified.clear();
            }
            verified.insert(user.name.clone(), proof);
        }
        Ok(right)
    }

    /// Takes as long as a check, and says no.
    pub(super) async fn refuse(&self, password: String) -> Result<bool> {
        self.check(NOBODYS.to_owned(), password).await.map(|_| false)
    }

    async fn check(&self, hash: String, password: String) -> Result<bool> {
        if password.len() > LONGEST {
            return Ok(false);
        }
        self.working(move || {
            let hash = PasswordHash::new(&hash).map_err(|error| broken(&error.to_string()))?;
            Ok(Argon2::default().verify_password(password.as_bytes(), &hash).is_ok())
        })
        .await
    }

    async fn working<T: Send + 'static>(&self, work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
        let _permit = self.permits.acquire().await.map_err(|error| broken(&error.to_string()))?;
        tokio::task::spawn_blocking(work).await.map_err(|error| broken(&error.to_string()))?
    }

    fn proof(&self, user: &User, password: &str) -> (UserId, u64, [u8; 32]) {
        let mut hasher = Sha256::new();
        hasher.update(self.secret);
        hasher.update((user.name.len() as u64).to_le_bytes());
        hasher.update(user.name.as_bytes());
        hasher.update(password.as_bytes());
        (user.id.clone(), user.credential_version, hasher.finalize().into())
    }

    fn verified(&self) -> std::sync::MutexGuard<'_, Verified> {
        self.verified.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn broken(why: &str) -> Error {
    Error::internal("MW0911", format!("a password could not be checked: {why}"))
}
