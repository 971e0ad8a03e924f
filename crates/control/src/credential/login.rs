//! From what a person was given once, or knows, to a token of their own.

use meshwork_core::effect::Timestamp;
use meshwork_core::error::{Error, Result};
use meshwork_core::principal::Principal;

use super::{Credential, CredentialService, NOBODY, NewToken, Origin, token_hash, unknown_token};
use crate::port::state::Token;

/// What a login is to end in.
#[derive(Clone, Debug)]
pub struct NewLogin {
    /// Tells the token from its user's others.
    pub label: String,
    pub expires_at: Option<Timestamp>,
}

/// A token that a login made. The secret is told once and not kept.
pub struct Login {
    pub token: Token,
    pub secret: String,
}

impl CredentialService {
    /// A personal token for a password, or for a one-time token, which is dead from then on. Of several that exchange the
    /// same one at once, one wins. An ordinary token is refused (MW0951): it could otherwise outlive its own revocation.
    pub async fn login(&self, credential: Credential, origin: &Origin, new: NewLogin) -> Result<Login> {
        let now = self.clock.now();
        self.check_expiry(new.expires_at)?;
        let expires_at = new.expires_at;
        let wanted =
            |user, purpose, scope| NewToken { user, label: new.label, expires_at, purpose, one_time: false, scope };
        match credential {
            Credential::Basic { user, password } => {
                let subject = self.by_password(&user, password, origin).await?;
                let (token, secret) = self.create_token(&subject, wanted(user, None, None)).await?;
                Ok(Login { token, secret })
            }
            Credential::Bearer(once) => {
                let spent = self.to_exchange(&once, origin).await?;
                let (whose, purpose, scope) = (spent.user.clone(), spent.purpose.clone(), spent.scope.clone());
                let user = self.state.user(&whose).await?.ok_or_else(unknown_token)?;
                let (token, secret) = self.new_token(wanted(whose, purpose, scope), &user);
                let actor = Principal::User(spent.user.clone());
                self.change(&actor, "token.exchange", spent.id.as_str()).await?;
                if !self.state.exchange_token(&spent.id, now, &token).await? {
                    return self.refused(&spent.user, origin, self::spent()).await;
                }
                if let Some(told) = &self.spent {
                    told(&once);
                }
                Ok(Login { token, secret })
            }
        }
    }

    async fn to_exchange(&self, secret: &str, origin: &Origin) -> Result<Token> {
        let now = self.clock.now();
        let Some(token) = self.state.token_by_hash(&token_hash(secret)).await? else {
            self.limiter().check_all(now)?;
            self.limiter().failed_anyone(now);
            return self.refused(NOBODY, origin, unknown_token()).await;
        };
        match self.usable(&token).await {
            Ok(_) if token.one_time => Ok(token),
            Ok(_) => self.refused(&token.user, origin, not_one_time()).await,
            Err(error) => self.refused(&token.user, origin, error).await,
        }
    }
}

pub(super) fn only_to_exchange() -> Error {
    Error::unauthenticated("MW0949", "a one-time token opens nothing: it is exchanged for a token of your own")
        .hint("`meshwork login --server URL` does that, and keeps the new one")
}

pub(super) fn spent() -> Error {
    Error::unauthenticated("MW0950", "the one-time token has been used")
        .hint("if that was not you, revoke what it was exchanged for: `meshwork token list --user NAME` shows it")
        .hint("in the mesh's folder its owner makes another: `meshwork token create --one-time --user NAME LABEL`")
}

fn not_one_time() -> Error {
    Error::unauthenticated("MW0951", "this is not a one-time token: there is nothing to exchange")
        .hint("use it as it is, as `authorization: Bearer TOKEN` or with `--token-file`")
}
