//! For how long a server that cannot answer asks to be left alone: `Retry-After`.

use std::time::Duration;

use chrono::DateTime;
use reqwest::header::{DATE, HeaderMap, HeaderName, RETRY_AFTER};

/// Whoever is asked for a longer pause than this gives up instead of waiting.
pub const LONGEST: Duration = Duration::from_secs(10);

/// Seconds, or a date, which is held against the server's own: its clock need not be ours. One that is past asks for no pause.
/// https://www.rfc-editor.org/rfc/rfc9110#name-retry-after
pub fn asked(headers: &HeaderMap) -> Option<Duration> {
    let text = |name: HeaderName| Some(headers.get(name)?.to_str().ok()?.trim());
    let after = text(RETRY_AFTER)?;
    if let Ok(seconds) = after.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let (then, now) = (DateTime::parse_from_rfc2822(after).ok()?, DateTime::parse_from_rfc2822(text(DATE)?).ok()?);
    Some((then - now).to_std().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_and_dates() {
        let asked = |after: &'static str, date: Option<&'static str>| {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, after.parse().expect("a value"));
            if let Some(date) = date {
                headers.insert(DATE, date.parse().expect("a value"));
            }
            super::asked(&headers).map(|pause| pause.as_secs())
        };
        assert_eq!(asked("120", None), Some(120));
        assert_eq!(asked("0", None), Some(0));
        let date = Some("Fri, 31 Dec 1999 23:59:50 GMT");
        assert_eq!(asked("Fri, 31 Dec 1999 23:59:59 GMT", date), Some(9));
        assert_eq!(asked("Sat, 01 Jan 2000 00:00:50 GMT", date), Some(60));
        assert_eq!(asked("Fri, 31 Dec 1999 23:00:00 GMT", date), Some(0));
        assert_eq!(asked("Fri, 31 Dec 1999 23:59:59 GMT", None), None, "nothing to hold it against");
        assert_eq!(asked("soon", date), None);
        assert_eq!(asked("-1", date), None);
        assert_eq!(super::asked(&HeaderMap::new()), None);
    }
}
