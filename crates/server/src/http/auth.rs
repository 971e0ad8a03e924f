//! Who calls: Basic or Bearer through the one credential check (D14), or a session that the process itself vouches for.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::extract::{ConnectInfo, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{Extensions, HeaderMap, header};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use meshwork_control::credential::{Credential, Origin};
use meshwork_core::name::Name;
use meshwork_core::permission::{self, ApiAction, Resource};
use meshwork_core::principal::{Principal, Subject};
use meshwork_core::{Error, Result};

use super::listener::Peer;
use super::problem::Failure;
use super::request::RequestId;
use super::state::AppState;

pub const AS: &str = "meshwork-as";
pub const PURPOSE: &str = "meshwork-purpose";

/// Who acts, for whom, and what for. As a request extension it is taken as it is: extensions are set by code in this
/// process (the command line in embedded mode) and cannot come from the network.
#[derive(Clone, Debug)]
pub struct Session {
    /// Whose credential it is; what audit holds responsible.
    pub actor: Subject,
    /// Whose rights are used: the actor's own, unless it impersonates.
    pub subject: Subject,
    /// Selects among granted purposes (D16).
    pub purpose: Option<String>,
}

impl Session {
    pub fn of(subject: Subject) -> Self {
        Self { actor: subject.clone(), purpose: subject.purpose.clone(), subject }
    }
}

/// The caller of a route that needs an action. Handlers get at what they serve only after [`Caller::may`].
#[derive(Clone, Debug)]
pub struct Caller {
    pub session: Session,
    action: ApiAction,
    asked: Arc<AtomicBool>,
    request: Option<String>,
    address: Option<String>,
    in_process: bool,
}

impl Caller {
    pub fn subject(&self) -> &Subject {
        &self.session.subject
    }

    /// Whether the caller may do what the route is declared for, to this resource.
    pub fn may(&self, resource: Resource<'_>) -> Result<()> {
        self.asked.store(true, Ordering::Relaxed);
        permission::may(Some(&self.session.subject), self.action, resource)
    }

    /// The same for another action: to fill a list with what may be read, or to leave out what may not.
    pub fn could(&self, action: ApiAction, resource: Resource<'_>) -> bool {
        permission::may(Some(&self.session.subject), action, resource).is_ok()
    }

    /// The subject for a use case that asks for permission itself, or that is confined to what the subject owns.
    pub fn asked_by_the_use_case(&self) -> &Subject {
        self.asked.store(true, Ordering::Relaxed);
        &self.session.subject
    }

    /// The peer, for the audit log.
    pub fn address(&self) -> Option<String> {
        self.address.clone()
    }

    /// The door that the caller came through, for the audit log: `network`, unless it is the command line in process.
    pub fn port(&self, network: &'static str) -> &'static str {
        if self.in_process { "cli" } else { network }
    }

    pub fn request_id(&self) -> Option<String> {
        self.request.clone()
    }

    /// The purpose that a request states, which must not contradict the header's or the token's.
    pub fn purpose(&self, stated: Option<String>) -> Result<Option<String>> {
        match (stated, &self.session.purpose) {
            (None, settled) => Ok(settled.clone()),
            (Some(stated), None) => Ok(Some(stated)),
            (Some(stated), Some(settled)) if stated == *settled => Ok(Some(stated)),
            (Some(_), Some(settled)) => {
                let message = format!("the purpose of this session is `{}`", settled.escape_debug());
                Err(Error::forbidden("MW0943", message)
                    .hint("state the purpose once, and the one that the token is for"))
            }
        }
    }

    pub(super) fn has_asked(&self) -> bool {
        self.asked.load(Ordering::Relaxed)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Failure> {
        let caller = parts.extensions.get::<Self>().cloned();
        caller.ok_or_else(|| Error::internal("MW0998", "a public route asked for its caller").into())
    }
}

/// Whether the peer is this machine, or the process itself.
pub fn is_local(request: &Request) -> bool {
    let peer = request.extensions().get::<ConnectInfo<Peer>>();
    let in_process = request.extensions().get::<Session>().is_some();
    // A proxy on this machine speaks for somebody else.
    let forwarded = ["forwarded", "x-forwarded-for"].iter().any(|name| request.headers().contains_key(*name));
    in_process || (peer.is_some_and(|ConnectInfo(Peer(peer))| peer.ip().to_canonical().is_loopback()) && !forwarded)
}

pub(super) async fn identify(
    app: &AppState,
    headers: &HeaderMap,
    extensions: &Extensions,
    action: ApiAction,
) -> Result<Caller> {
    let address = extensions.get::<ConnectInfo<Peer>>().map(|ConnectInfo(Peer(peer))| peer.to_string());
    let mut session = match extensions.get::<Session>() {
        Some(session) => session.clone(),
        None => {
            let origin = Origin { port: Some("http".to_owned()), address: address.clone() };
            Session::of(app.credentials.authenticate_from(credential(headers)?, &origin).await?)
        }
    };
    if let Some(name) = text(headers, AS)? {
        let principal = principal(name)?;
        permission::may(Some(&session.actor), ApiAction::Impersonate, Resource::Mesh)?;
        session.subject = app.credentials.subject(&principal).await?;
        // What the actor's token pins holds also while it acts for another.
        session.purpose = session.actor.purpose.clone();
    }
    if let Some(purpose) = text(headers, PURPOSE)? {
        let pinned = session.actor.purpose.as_deref();
        if pinned.is_some_and(|pinned| pinned != purpose) {
            let message = format!("the token is for another purpose than `{}`", purpose.escape_debug());
            return Err(Error::forbidden("MW0943", message).hint("leave the header out, or use another token"));
        }
        session.purpose = Some(purpose.to_owned());
    }
    let request = extensions.get::<RequestId>().map(|id| id.as_str().to_owned());
    let in_process = extensions.get::<Session>().is_some();
    Ok(Caller { session, action, asked: Arc::default(), request, address, in_process })
}

/// `user:ana`, `product:sales.orders`; a bare word is a user.
pub fn principal(text: &str) -> Result<Principal> {
    let malformed = |what: &dyn std::fmt::Display| {
        Error::usage("MW0944", format!("`{}` is not a principal: {what}", text.escape_debug()))
            .hint("write `user:ana` or `product:sales.orders`")
    };
    if let Some(product) = text.strip_prefix("product:") {
        let (domain, product) = product.split_once('.').ok_or_else(|| malformed(&"a product is `domain.product`"))?;
        let name = |text: &str| Name::new(text).map_err(|problem| malformed(&problem));
        return Ok(Principal::Product { domain: name(domain)?, product: name(product)? });
    }
    match text.strip_prefix("user:").unwrap_or(text) {
        "" => Err(malformed(&"it is empty")),
        user if user.contains(':') => Err(malformed(&"its kind is neither `user` nor `product`")),
        user => Ok(Principal::User(user.to_owned())),
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a str>> {
    let mut values = headers.get_all(name).iter();
    let (first, more) = (values.next(), values.next());
    if more.is_some() {
        return Err(Error::usage("MW0941", format!("the header `{name}` is given twice")));
    }
    let Some(value) = first else { return Ok(None) };
    match value.to_str().map(str::trim) {
        Ok(text) if !text.is_empty() => Ok(Some(text)),
        _ => Err(Error::usage("MW0941", format!("the header `{name}` is empty or not plain text"))),
    }
}

fn credential(headers: &HeaderMap) -> Result<Credential> {
    let given = text(headers, header::AUTHORIZATION.as_str())?;
    let Some(given) = given else {
        return Err(Error::unauthenticated("MW0940", "this needs a credential")
            .hint("send `authorization: Bearer TOKEN`, or a user and password as Basic"));
    };
    let (scheme, rest) = given.split_once(' ').unwrap_or((given, ""));
    let rest = rest.trim();
    let credential = match scheme.to_ascii_lowercase().as_str() {
        "bearer" if !rest.is_empty() => Some(Credential::Bearer(rest.to_owned())),
        "basic" => basic(rest),
        _ => None,
    };
    credential.ok_or_else(|| {
        Error::unauthenticated("MW0942", "the `authorization` header is neither a Basic nor a Bearer credential")
            .hint("send `authorization: Bearer TOKEN`, or a user and password as Basic")
    })
}

fn basic(encoded: &str) -> Option<Credential> {
    let decoded = String::from_utf8(STANDARD.decode(encoded).ok()?).ok()?;
    let (user, password) = decoded.split_once(':')?;
    Some(Credential::Basic { user: user.to_owned(), password: password.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn with(value: &str) -> HeaderMap {
        HeaderMap::from_iter([(header::AUTHORIZATION, HeaderValue::from_str(value).unwrap())])
    }

    #[test]
    fn both_schemes_are_read() {
        assert!(matches!(credential(&with("bEaReR abc")), Ok(Credential::Bearer(token)) if token == "abc"));
        let basic = with(&format!("Basic {}", STANDARD.encode("ana:pa:ss")));
        let read = credential(&basic).unwrap();
        assert!(matches!(read, Credential::Basic { user, password } if user == "ana" && password == "pa:ss"));
    }

    #[test]
    fn anything_else_is_refused_without_being_repeated() {
        for header in ["Bearer", "Basic !!!", "Negotiate abc", "Basic YQ==", "secret"] {
            let error = credential(&with(header)).unwrap_err();
            assert_eq!(error.code, "MW0942", "{header}");
            assert!(!error.message.contains("secret"));
        }
        assert_eq!(credential(&HeaderMap::new()).unwrap_err().code, "MW0940");
    }
}
