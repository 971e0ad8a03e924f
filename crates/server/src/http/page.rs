//! Lists, page by page. A cursor is opaque: where the page before ended, and which list it belongs to.

use axum::Json;
use axum::http::{HeaderValue, Uri, header};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use meshwork_core::Error;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

pub const MAX_LIMIT: u32 = 1000;
const DEFAULT_LIMIT: u32 = 100;

#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct PageParams {
    /// How many at most, 1 to 1000; 100 unless given.
    #[param(minimum = 1, maximum = 1000, example = 100)]
    pub limit: Option<u32>,
    /// From the `next` link of the page before.
    pub cursor: Option<String>,
}

/// One page of a list.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Page<T> {
    pub items: Vec<T>,
    /// Path of the next page; absent on the last one. Also in the `link` header.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

impl<T: Serialize> IntoResponse for Page<T> {
    fn into_response(self) -> Response {
        let link = self.next.as_ref().and_then(|next| HeaderValue::from_str(&format!("<{next}>; rel=\"next\"")).ok());
        let mut response = Json(self).into_response();
        if let Some(link) = link {
            response.headers_mut().insert(header::LINK, link);
        }
        response
    }
}

/// What was asked for, checked.
#[derive(Clone, Debug)]
pub struct Asked {
    pub limit: u32,
    /// Key of the last item of the page before.
    pub after: Option<String>,
}

impl PageParams {
    pub fn read(&self, uri: &Uri) -> Result<Asked, Error> {
        Ok(Asked {
            limit: limit(self.limit)?,
            after: self.cursor.as_deref().map(|cursor| decode(cursor, uri.path())).transpose()?,
        })
    }
}

fn limit(asked: Option<u32>) -> Result<u32, Error> {
    match asked.unwrap_or(DEFAULT_LIMIT) {
        limit @ 1..=MAX_LIMIT => Ok(limit),
        limit => Err(Error::usage("MW0930", format!("limit={limit} is not between 1 and {MAX_LIMIT}"))
            .hint("ask for a page and follow its `next` link")),
    }
}

/// A page of what is already in order; `key` is unique and rises through the list.
pub fn of_sorted<T>(
    items: impl IntoIterator<Item = T>,
    asked: &Asked,
    uri: &Uri,
    key: impl Fn(&T) -> String,
) -> Page<T> {
    let rest = items.into_iter().filter(|item| asked.after.as_ref().is_none_or(|after| key(item) > *after));
    of_fetched(rest.take(asked.limit as usize + 1).collect(), asked.limit, uri, key)
}

/// A page of a query that was asked for `limit + 1` items from the cursor on.
pub fn of_fetched<T>(mut items: Vec<T>, limit: u32, uri: &Uri, key: impl Fn(&T) -> String) -> Page<T> {
    let more = items.len() > limit as usize;
    items.truncate(limit as usize);
    let next = items.last().filter(|_| more).map(|last| next_link(uri, &key(last), &[]));
    Page { items, next }
}

/// The same request with another cursor, and without the parameters that the cursor stands for.
pub fn next_link(uri: &Uri, key: &str, replaced: &[&str]) -> String {
    let kept = uri.query().unwrap_or("").split('&').filter(|pair| {
        let name = pair.split('=').next().unwrap_or("");
        !name.is_empty() && name != "cursor" && !replaced.contains(&name)
    });
    let query: Vec<&str> = kept.collect();
    let cursor = encode(key, uri.path());
    let query = if query.is_empty() { String::new() } else { query.join("&") + "&" };
    format!("{}?{query}cursor={cursor}", uri.path())
}

#[derive(Serialize, Deserialize)]
struct Cursor<'a> {
    /// The list: a cursor of one is not a position in another.
    #[serde(borrow)]
    of: std::borrow::Cow<'a, str>,
    after: String,
}

fn encode(after: &str, path: &str) -> String {
    let cursor = Cursor { of: path.into(), after: after.to_owned() };
    URL_SAFE_NO_PAD.encode(serde_json::to_vec(&cursor).expect("two strings are JSON"))
}

pub fn decode(cursor: &str, path: &str) -> Result<String, Error> {
    let bytes = URL_SAFE_NO_PAD.decode(cursor).ok();
    let parsed = bytes.as_deref().and_then(|bytes| serde_json::from_slice::<Cursor>(bytes).ok());
    parsed.filter(|cursor| cursor.of == path).map(|cursor| cursor.after).ok_or_else(|| {
        Error::usage("MW0931", "this cursor is not one of this list")
            .hint("take the `next` link of a page as it is, or begin without `cursor`")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(uri: &str, limit: u32) -> Page<u32> {
        let uri: Uri = uri.parse().unwrap();
        let cursor = uri.query().and_then(|q| q.split("cursor=").nth(1)).map(str::to_owned);
        let asked = PageParams { limit: Some(limit), cursor }.read(&uri).unwrap();
        of_sorted(11..=15, &asked, &uri, u32::to_string)
    }

    #[test]
    fn pages_follow_each_other_to_the_end() {
        let first = page("/api/v1/x?limit=2", 2);
        assert_eq!(first.items, [11, 12]);
        let second = page(&first.next.unwrap(), 2);
        assert_eq!(second.items, [13, 14]);
        let third = page(&second.next.unwrap(), 2);
        assert_eq!(third.items, [15]);
        assert_eq!(third.next, None);
    }

    #[test]
    fn an_exact_last_page_has_no_next() {
        assert_eq!(page("/api/v1/x", 5).next, None);
    }

    #[test]
    fn a_foreign_or_broken_cursor_is_refused() {
        let cursor = encode("12", "/api/v1/other");
        assert_eq!(decode(&cursor, "/api/v1/x").unwrap_err().code, "MW0931");
        assert_eq!(decode("%%%", "/api/v1/x").unwrap_err().code, "MW0931");
    }

    #[test]
    fn the_limit_has_bounds() {
        assert!(limit(Some(0)).is_err());
        assert!(limit(Some(1001)).is_err());
        assert_eq!(limit(None).unwrap(), 100);
    }
}
