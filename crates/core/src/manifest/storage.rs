//! `storage` of `mesh.yaml` and `domain.yaml`: a folder, or a prefix of a bucket.

use schemars::JsonSchema;

use super::{connection, text};
use crate::reader::{Fields, Findings, Spanned, shown};
use crate::storage::{S3Storage, Storage};
use crate::yaml::NodeKind;

/// Where tables lie.
#[derive(JsonSchema)]
#[schemars(untagged)]
#[allow(dead_code, reason = "the declared shape of `Storage`, for the JSON Schema")]
pub(super) enum StorageManifest {
    /// A folder relative to the mesh folder, an absolute folder, or a `file://` URL.
    Folder(String),
    S3(S3Manifest),
}

/// A prefix of a bucket of an S3-compatible store.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[allow(dead_code, reason = "for the JSON Schema")]
pub(super) struct S3Manifest {
    /// `s3://bucket/prefix`. No other root may lie inside it.
    #[schemars(regex(pattern = r"^s3://"))]
    url: String,
    /// `https://host:port`. Default: AWS.
    endpoint: Option<String>,
    /// Default: `us-east-1`.
    region: Option<String>,
    /// Whether the bucket stands in the path and not in the host's name. Default: true where there is an `endpoint`.
    path_style: Option<bool>,
    /// A reference to a secret.
    #[schemars(regex(pattern = r"^\$\{secret:[a-z][a-z0-9_]{0,62}\}$"))]
    access_key_id: String,
    /// A reference to a secret.
    #[schemars(regex(pattern = r"^\$\{secret:[a-z][a-z0-9_]{0,62}\}$"))]
    secret_access_key: String,
    /// A reference to a secret.
    session_token: Option<String>,
    /// A reference to a secret with the certificates to believe instead of the machine's own.
    ca: Option<String>,
}

pub(super) fn read<'n>(findings: &'n Findings<'n>, fields: &Fields<'n>) -> Option<Spanned<Storage>> {
    let node = fields.node("storage")?;
    if !matches!(node.kind, NodeKind::Map(_)) {
        return folder(findings, fields.text("storage")?);
    }
    let fields = Fields::of(findings, node, "the storage")?;
    let url = fields.required_text("url").and_then(|text| bucket(findings, text));
    let connection = connection::s3(&fields);
    let written = fields.node("access_key_id").is_some() || fields.node("secret_access_key").is_some();
    if !written {
        let hint =
            "Add `access_key_id: ${secret:NAME}` and `secret_access_key: ${secret:NAME}`: nobody else's are used.";
        findings.error_hinting("MW0112", node.span, "a storage on S3 says with which credentials it is written", hint);
    }
    fields.finish();
    url.map(|url| Spanned { value: Storage::S3(S3Storage { url: url.value, connection }), span: url.span })
}

fn folder(findings: &Findings<'_>, text: Spanned<&str>) -> Option<Spanned<Storage>> {
    if text.value.starts_with("s3://") {
        let hint = "Write `storage: { url: s3://bucket/prefix, access_key_id: ${secret:NAME}, secret_access_key: ${secret:NAME} }`.";
        findings.error_hinting("MW0112", text.span, "a storage on S3 says with which credentials it is written", hint);
        return None;
    }
    text::storage_folder(findings, text).map(|folder| folder.map(Storage::Folder))
}

/// With one `/` at its end and none twice: equal roots are equal texts.
fn bucket(findings: &Findings<'_>, text: Spanned<&str>) -> Option<Spanned<String>> {
    if text::refuse_template(findings, text) {
        return None;
    }
    let rest = text.value.strip_prefix("s3://").unwrap_or_default();
    let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    let plain = |text: &str, more: &[u8]| text.bytes().all(|b| b.is_ascii_alphanumeric() || more.contains(&b));
    let parts: Vec<&str> = prefix.split('/').filter(|part| !part.is_empty()).collect();
    let named = (3..=63).contains(&bucket.len()) && plain(bucket, b".-") && !bucket.contains("..");
    if !named || parts.iter().any(|part| !plain(part, b"-_.=") || part.chars().all(|c| c == '.')) {
        let message = format!("`{}` is not a prefix of a bucket", shown(text.value));
        let hint = "Write `s3://bucket/prefix`: letters, digits and `-_.=`.";
        findings.error_hinting("MW0123", text.span, message, hint);
        return None;
    }
    let end = if parts.is_empty() { "" } else { "/" };
    Some(text.map(|_| format!("s3://{bucket}/{}{end}", parts.join("/"))))
}
