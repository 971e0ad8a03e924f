//! Texts that become paths, addresses and secrets: what may stand in them (D27).

use crate::contract::duration;
use crate::reader::{Fields, Findings, Spanned, shown};
use crate::retention::FLOOR;

/// Nothing in a manifest reads the environment or expands templates; only `${secret:name}` has a meaning, and only where
/// a secret is expected.
pub fn refuse_template(findings: &Findings<'_>, text: Spanned<&str>) -> bool {
    let found = text.value.contains("${");
    if found {
        let hint = "Write the value itself. `${secret:name}` stands only as a connection's `password`.";
        findings.error_hinting("MW0131", text.span, "`${…}` is not expanded here", hint);
    }
    found
}

/// How long old publications stay readable, in seconds.
pub fn retention(fields: &Fields<'_>) -> Option<Spanned<u64>> {
    let text = fields.text("retention")?;
    let Some(seconds) = duration::seconds(text.value, None) else {
        let message = format!("`{}` is not a length of time", shown(text.value));
        let hint = "Write a number and a unit: `30 days`, `12 hours`, `P30D`.";
        fields.findings().error_hinting("MW0193", text.span, message, hint);
        return None;
    };
    if seconds < FLOOR as f64 {
        let message = format!("`{}` is too short", shown(text.value));
        let hint = "An hour is the least, so that what has begun to read can end.";
        fields.findings().error_hinting("MW0193", text.span, message, hint);
        return None;
    }
    Some(text.map(|_| seconds as u64))
}

/// A path below the folder of the file that names it: relative, `/` as separator, no `..`.
pub fn inner_path(findings: &Findings<'_>, text: Spanned<&str>) -> Option<Spanned<String>> {
    if refuse_template(findings, text) {
        return None;
    }
    if let Some((scheme, _)) = text.value.split_once("://") {
        let message = format!("`{}://` addresses are not available in this version", shown(scheme));
        findings.error_hinting("MW0118", text.span, message, "Name a file below the domain's folder.");
        return None;
    }
    match problem(text.value) {
        None => Some(text.map(normalised)),
        Some(why) => {
            let message = format!("the path `{}` {why}", shown(text.value));
            let hint = "Paths are relative to the folder and stay inside it.";
            findings.error_hinting("MW0122", text.span, message, hint);
            None
        }
    }
}

/// A path of a source: inside the domain's folder, `s3://bucket/key`, or `https://host/path`.
pub fn source_path(findings: &Findings<'_>, text: Spanned<&str>) -> Option<Spanned<String>> {
    let address = match text.value.split_once("://") {
        Some(("s3" | "http" | "https", rest)) => rest,
        _ => return inner_path(findings, text),
    };
    if refuse_template(findings, text) {
        return None;
    }
    let (authority, key) = address.split_once('/').unwrap_or((address, ""));
    let refused = if authority.is_empty() || key.is_empty() {
        Some("names no file")
    } else if authority.contains('@') {
        Some("holds a user or a password, which belong into a connection")
    } else if text.value.chars().any(|c| c.is_control() || c.is_whitespace() || c == '\\') {
        Some("holds a character that addresses may not hold")
    } else if key.split('/').any(|part| part == "..") {
        Some("holds `..`")
    } else {
        None
    };
    match refused {
        None => Some(text.map(str::to_owned)),
        Some(why) => {
            // The address is not repeated: it may hold a password.
            findings.error("MW0122", text.span, format!("the address {why}"));
            None
        }
    }
}

fn problem(path: &str) -> Option<&'static str> {
    if path.is_empty() {
        return Some("is empty");
    }
    if path.len() > 4096 {
        return Some("is longer than 4096 bytes");
    }
    if path.contains('\\') {
        return Some("holds `\\`; separate folders by `/`");
    }
    if path.chars().any(char::is_control) {
        return Some("holds a control character");
    }
    if path.starts_with('/') || path.starts_with('~') || path.as_bytes().get(1) == Some(&b':') {
        return Some("is absolute");
    }
    path.split('/').any(|part| part == "..").then_some("leaves the folder by `..`")
}

/// Without `.` and empty parts.
fn normalised(path: &str) -> String {
    path.split('/').filter(|part| !matches!(*part, "" | ".")).collect::<Vec<_>>().join("/")
}

/// A storage root on this machine: a folder or a `file://` URL.
pub fn storage_folder(findings: &Findings<'_>, text: Spanned<&str>) -> Option<Spanned<String>> {
    if refuse_template(findings, text) {
        return None;
    }
    if let Some((scheme, rest)) = text.value.split_once("://") {
        if scheme != "file" {
            let message = format!("storage on `{}://` is not available in this version", shown(scheme));
            findings.error_hinting("MW0118", text.span, message, "Use a folder, or `s3://bucket/prefix`.");
            return None;
        }
        if !rest.starts_with('/') {
            findings.error("MW0122", text.span, "a `file://` URL holds an absolute path: `file:///…`");
            return None;
        }
    }
    let refused = match text.value {
        "" => Some("is empty"),
        path if path.chars().any(|c| c.is_control() || c == '\\') => Some("holds a character that paths may not hold"),
        path if path.split('/').any(|part| part == "..") => Some("leaves the mesh by `..`"),
        _ => None,
    };
    match refused {
        None => Some(text.map(str::to_owned)),
        Some(why) => {
            findings.error("MW0122", text.span, format!("the storage root `{}` {why}", shown(text.value)));
            None
        }
    }
}

/// The name inside `${secret:name}`.
pub fn secret_name(text: &str) -> Option<&str> {
    let name = text.strip_prefix("${secret:")?.strip_suffix('}')?;
    let fits = name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.len() <= 63
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    fits.then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yaml::Span;

    #[test]
    fn paths_stay_inside() {
        let read = |path: &str| {
            let findings = Findings::new("f.yaml");
            let value = inner_path(&findings, Spanned { value: path, span: Span::default() }).map(|p| p.value);
            value.ok_or_else(|| findings.into_diagnostics().remove(0).code)
        };
        assert_eq!(read("files/leads-*.csv").as_deref(), Ok("files/leads-*.csv"));
        assert_eq!(read("./a//b/./c.csv").as_deref(), Ok("a/b/c.csv"));
        assert_eq!(read("a..b/...csv").as_deref(), Ok("a..b/...csv"));
        for (path, code) in [
            ("../x", "MW0122"),
            ("a/../../x", "MW0122"),
            ("/etc/passwd", "MW0122"),
            ("~/x", "MW0122"),
            ("C:/x", "MW0122"),
            ("a\\..\\b", "MW0122"),
            ("a\u{7}b", "MW0122"),
            ("", "MW0122"),
            ("${env:HOME}/x", "MW0131"),
            ("s3://bucket/x", "MW0118"),
            ("file:///etc/passwd", "MW0118"),
        ] {
            assert_eq!(read(path), Err(code.to_owned()), "{path:?}");
        }
    }

    #[test]
    fn secrets_have_one_form() {
        assert_eq!(secret_name("${secret:crm_password}"), Some("crm_password"));
        for text in
            ["hunter2", "${env:X}", "${secret:}", "${secret:A}", "x${secret:a}", "${secret:a}x", "${secret:a/b}"]
        {
            assert_eq!(secret_name(text), None, "{text}");
        }
    }
}
