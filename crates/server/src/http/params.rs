//! Query strings. Which names a route takes stands in its OpenAPI operation, so the document cannot lag behind.

use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;
use meshwork_core::{Error, suggestion};
use serde::de::DeserializeOwned;

use super::problem::Failure;

/// The query string as `T`.
#[derive(Debug)]
pub struct Params<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Params<T> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Failure> {
        Query::try_from_uri(&parts.uri).map(|Query(value)| Self(value)).map_err(|rejection| {
            let text = rejection.body_text();
            let what = text.strip_prefix("Failed to deserialize query string: ").unwrap_or(&text);
            Error::usage("MW0929", format!("the query string cannot be read: {what}")).into()
        })
    }
}

/// Refuses a parameter that the route does not declare, or that comes twice: both are typing errors that would
/// otherwise give an answer to another question.
pub fn check_names(query: Option<&str>, declared: &[String]) -> Result<(), Error> {
    let mut seen: Vec<String> = Vec::new();
    for pair in query.unwrap_or("").split('&').filter(|pair| !pair.is_empty()) {
        let name = decode(pair.split_once('=').map_or(pair, |(name, _)| name));
        if !declared.contains(&name) {
            let error = Error::usage("MW0928", format!("there is no query parameter `{}` here", name.escape_debug()));
            return Err(match suggestion::hint(&name, declared.iter().map(String::as_str)) {
                Some(hint) => error.hint(hint),
                None => error.hint("this route takes no query parameters"),
            });
        }
        if seen.contains(&name) {
            return Err(Error::usage("MW0928", format!("the query parameter `{name}` is given twice"))
                .hint("give it once; several values go into one, separated by commas"));
        }
        seen.push(name);
    }
    Ok(())
}

/// Percent-decoding of a name; names are short and plain, so anything odd simply will not be declared.
fn decode(name: &str) -> String {
    let mut bytes = Vec::with_capacity(name.len());
    let mut rest = name.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'+' => bytes.push(b' '),
            b'%' => {
                let digits = [rest.next().unwrap_or(b'?'), rest.next().unwrap_or(b'?')];
                let text = std::str::from_utf8(&digits).unwrap_or("");
                bytes.push(u8::from_str_radix(text, 16).unwrap_or(b'?'));
            }
            byte => bytes.push(byte),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_declared_names_and_each_once() {
        let declared = ["limit".to_owned(), "cursor".to_owned()];
        assert!(check_names(Some("limit=1&cursor=x"), &declared).is_ok());
        assert!(check_names(Some("lim%69t=1"), &declared).is_ok());
        assert!(check_names(None, &[]).is_ok());
        let error = check_names(Some("limti=3"), &declared).unwrap_err();
        assert_eq!(error.hints, ["Did you mean `limit`?"]);
        let error = check_names(Some("limit=3&lim%69t=4"), &declared).unwrap_err();
        assert_eq!(error.message, "the query parameter `limit` is given twice");
    }
}
