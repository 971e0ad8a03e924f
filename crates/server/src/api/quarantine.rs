//! Rows that runs have set aside: for members of the owner team. To everybody else there is no quarantine.

use axum::Json;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::HeaderMap;
use axum::response::Response;
use chrono::{DateTime, Utc};
use meshwork_control::port::data::RepairedFormat;
use meshwork_core::id::{ProductId, RunId};
use meshwork_core::mesh::Domain;
use meshwork_core::name::Name;
use meshwork_core::permission::Resource;
use meshwork_core::permission::{self, ApiAction};
use meshwork_core::product::Product;
use meshwork_core::quarantine::QuarantineEntry;
use meshwork_core::{Error, Result};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::UtoipaMethodRouterExt;
use utoipa_axum::routes;

use super::query;
use super::run;
use super::visible::{Visible, unknown};
use crate::http::AppState;
use crate::http::auth::Caller;
use crate::http::body::JsonBody;
use crate::http::format::{self, Format, Options};
use crate::http::params::Params;
use crate::http::problem::Answer;
use crate::http::table::{MESH_BODY_LIMIT, Routes};

pub fn routes() -> Routes {
    let large = DefaultBodyLimit::max(MESH_BODY_LIMIT);
    Routes::new()
        .needs(ApiAction::ListQuarantine, routes!(list))
        .needs(ApiAction::ReadQuarantine, routes!(rows))
        .needs(ApiAction::ReleaseQuarantine, routes!(release).layer(large))
}

/// What one run has set aside of one output.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct QuarantineInfo {
    pub run: String,
    #[schema(example = "marketing.leads")]
    pub product: String,
    #[schema(example = "leads")]
    pub output: String,
    pub major: u32,
    pub at: DateTime<Utc>,
    /// `open`, `released`, or `superseded`: a later run has built the table anew and judged the rows again.
    #[schema(example = "open")]
    pub state: String,
    /// Rows that were set aside, those that are still there, and rows of the whole batch. Absent where your view of the
    /// table has a row filter: counts would tell of rows that it hides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub open_rows: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch_rows: Option<u64>,
    /// By clause, how many rows break it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub clauses: Option<std::collections::BTreeMap<String, u64>>,
    /// When the rows are removed.
    pub expires_at: DateTime<Utc>,
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct ListParams {
    /// Only of this product.
    #[param(example = "marketing.leads")]
    product: Option<String>,
    /// Also what was released or superseded.
    #[serde(default)]
    all: bool,
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct RowsParams {
    /// Which output, where rows of several were set aside.
    output: Option<String>,
    /// Which major of it, where several were.
    major: Option<u32>,
    /// CSV only: leave text as it is that a spreadsheet would run as a formula.
    #[serde(default)]
    csv_raw: bool,
}

/// Quarantined rows of your domains' products, by run, newest first.
#[utoipa::path(get, path = "/quarantine", tag = "quarantine", params(ListParams),
    responses((status = 200, body = Vec<QuarantineInfo>)))]
async fn list(
    State(app): State<AppState>,
    caller: Caller,
    Params(asked): Params<ListParams>,
) -> Answer<Json<Vec<QuarantineInfo>>> {
    caller.may(Resource::Mesh)?;
    let visible = Visible::to(&caller, &app).await?;
    let product = match &asked.product {
        Some(name) => Some(owned(&caller, &visible, name)?.1.id.clone().ok_or_else(|| unknown(&called(name)))?),
        None => None,
    };
    let mut items = Vec::new();
    for entry in app.quarantine.entries(product.as_ref(), None).await? {
        let Some((domain, product)) = visible.listed(&entry.product) else { continue };
        if visible.owns(domain) && (asked.all || entry.open_rows() > 0) {
            items.push(info(&app, &visible, domain, product, &entry).await);
        }
    }
    Ok(Json(items))
}

async fn info(
    app: &AppState,
    visible: &Visible<'_>,
    domain: &Domain,
    product: &Product,
    entry: &QuarantineEntry,
) -> QuarantineInfo {
    let output = product.outputs.values().find(|output| output.id.as_ref() == Some(&entry.output));
    let counts = match output {
        Some(output) => visible.sees_every_row(app, domain, output, entry.major).await,
        None => false,
    };
    let state = match (entry.superseded_by.is_some(), entry.open_rows()) {
        (true, _) => "superseded",
        (false, 0) => "released",
        (false, _) => "open",
    };
    QuarantineInfo {
        run: entry.run.to_string(),
        product: format!("{}.{}", domain.name, product.name),
        output: output.map_or_else(|| entry.name.clone(), |output| output.name.to_string()),
        major: entry.major,
        at: entry.at,
        state: state.to_owned(),
        rows: counts.then_some(entry.quarantined.rows),
        open_rows: counts.then_some(entry.open_rows()),
        batch_rows: counts.then_some(entry.quarantined.batch_rows),
        clauses: counts.then(|| entry.quarantined.clauses.clone()),
        expires_at: entry.expires_at(),
    }
}

fn called(of: &str) -> String {
    format!("quarantine of `{}`", of.escape_debug())
}

/// A product of a domain that is the caller's; to others there is nothing called so.
fn owned<'v>(caller: &Caller, visible: &'v Visible<'_>, name: &str) -> Result<(&'v Domain, &'v Product)> {
    let found = name.split_once('.').and_then(|(domain, product)| {
        let domain = visible.mesh()?.domain(domain)?;
        domain.products.get(product).map(|product| (domain, product))
    });
    permitted(caller, found, name)
}

fn permitted<'v>(
    caller: &Caller,
    found: Option<(&'v Domain, &'v Product)>,
    name: &str,
) -> Result<(&'v Domain, &'v Product)> {
    let called = called(name);
    let (domain, product) = found.ok_or_else(|| unknown(&called))?;
    let resource = Resource::Product { domain: &domain.name, called: &called, discoverable: false };
    permission::may(Some(caller.subject()), ApiAction::ReadQuarantine, resource)?;
    Ok((domain, product))
}

/// Entries of one major of one output.
struct Meant<'v> {
    domain: &'v Domain,
    product: &'v Product,
    output: &'v Name,
    entries: Vec<QuarantineEntry>,
}

/// What `of` means: a run, or a product.
async fn entries<'v>(
    app: &AppState,
    caller: &Caller,
    visible: &'v Visible<'_>,
    of: &str,
    output: Option<&str>,
    major: Option<u32>,
) -> Result<Meant<'v>> {
    let (found, entries) = match of.split_once('.') {
        Some(_) => {
            let (domain, product) = owned(caller, visible, of)?;
            let id: Option<&ProductId> = product.id.as_ref();
            let mut entries = app.quarantine.entries(id, None).await?;
            entries.retain(|entry| entry.open_rows() > 0);
            (Some((domain, product)), entries)
        }
        None => {
            let entries = app.quarantine.entries(None, Some(&RunId::new(of))).await?;
            let product = entries.first().map(|entry| entry.product.clone());
            (product.and_then(|product| visible.listed(&product)), entries)
        }
    };
    let (domain, product) = permitted(caller, found, of)?;
    // The route's own action, on what it acts on.
    let called = called(of);
    caller.may(Resource::Product { domain: &domain.name, called: &called, discoverable: true })?;
    // It may have another name by now.
    let name = |entry: &QuarantineEntry| {
        let found = product.outputs.values().find(|output| output.id.as_ref() == Some(&entry.output));
        found.filter(|output| output.versions.contains_key(&entry.major)).map(|output| &output.name)
    };
    let is_named = |entry: &QuarantineEntry| {
        name(entry).is_some_and(|name| output.is_none_or(|output| *name == *output))
            && major.is_none_or(|major| entry.major == major)
    };
    let entries: Vec<QuarantineEntry> = entries.into_iter().filter(is_named).collect();
    let first = entries.first().and_then(|first| Some((first, name(first)?)));
    let Some((first, output)) = first else {
        return Err(Error::not_found("MW0681", format!("no rows are in {called}"))
            .hint("`meshwork quarantine list` shows what there is"));
    };
    if let Some(other) = entries.iter().find(|entry| (&entry.output, entry.major) != (&first.output, first.major)) {
        let message = format!("rows of several outputs are in {called}");
        let shown = |entry: &QuarantineEntry| {
            format!("`{}` (major {})", name(entry).map_or(entry.name.as_str(), Name::as_str), entry.major)
        };
        return Err(Error::usage("MW0945", message).hint(format!(
            "say which with `output` and `major`: {}, {}",
            shown(first),
            shown(other)
        )));
    }
    Ok(Meant { domain, product, output, entries })
}

/// Quarantined rows that are still open, of a run or of a product, with their masks and row filters as for the product's
/// own rows. Each has a number, why it is there, and where it was read. The form is negotiated by `Accept`.
#[utoipa::path(get, path = "/quarantine/{of}/rows", tag = "quarantine",
    params(("of" = String, Path, description = "A run's id, or `domain.product`"), RowsParams),
    responses((status = 200, content(
        (Vec<Object> = "application/json"), (String = "text/csv"), (Vec<u8> = "application/vnd.apache.arrow.stream"),
        (Vec<u8> = "application/vnd.apache.parquet"), (String = "application/x-ndjson")))))]
async fn rows(
    State(app): State<AppState>,
    caller: Caller,
    headers: HeaderMap,
    Path(of): Path<String>,
    Params(asked): Params<RowsParams>,
) -> Answer<Response> {
    let format = Format::negotiate(&headers)?;
    let visible = Visible::to(&caller, &app).await?;
    let meant = entries(&app, &caller, &visible, &of, asked.output.as_deref(), asked.major).await?;
    let session = query::session(&caller, "quarantine", None, None)?;
    let answer =
        query::answered(&app, app.quarantine.show(&session, &meant.domain.name, meant.output, &meant.entries).await)?;
    let options = Options {
        query_id: answer.query_id.to_string(),
        csv_raw: asked.csv_raw,
        next: None,
        request_id: caller.request_id(),
        warnings: answer.warnings,
    };
    Ok(format::respond(format, answer.schema, answer.stream, options, app.metrics.clone()).await?)
}

/// What to release.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({ "format": "csv", "rows": "_quarantine_row,score\n3,55\n" }))]
pub struct ReleaseRows {
    /// Which output, where the run has set rows of several aside.
    #[serde(default)]
    pub output: Option<String>,
    #[serde(default)]
    pub major: Option<u32>,
    /// Of `rows`: `csv` or `jsonl`.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub format: Option<RepairedFormat>,
    /// The rows as they are to be, each with its `_quarantine_row`. Columns that are left out, and columns that you see
    /// masked, keep the values that they have. Without it, all rows are tried again as they are.
    #[serde(default)]
    pub rows: Option<String>,
}

/// Runs the product's checks on quarantined rows and publishes those that pass; the others stay. A run like any other:
/// it tells how it goes as `POST /runs` does.
#[utoipa::path(post, path = "/quarantine/{of}/release", tag = "quarantine", request_body = ReleaseRows,
    params(("of" = String, Path, description = "The run's id")),
    responses((status = 200, description = "Updates as they happen", content_type = "application/x-ndjson", body = Object)))]
async fn release(
    State(app): State<AppState>,
    caller: Caller,
    Path(of): Path<String>,
    JsonBody(asked): JsonBody<ReleaseRows>,
) -> Answer<Response> {
    let visible = Visible::to(&caller, &app).await?;
    let meant = entries(&app, &caller, &visible, &of, asked.output.as_deref(), asked.major).await?;
    let [entry] = meant.entries.as_slice() else {
        let message = "rows of several runs are in quarantine; they are released run by run";
        return Err(Error::usage("MW0945", message).hint("name the run: `meshwork quarantine list` shows them").into());
    };
    let session = query::session(&caller, "quarantine", None, None)?;
    let repaired = asked.rows.map(|text| (asked.format.unwrap_or(RepairedFormat::Csv), text));
    let updates = app
        .quarantine
        .release(&session, (&meant.domain.name, &meant.product.name, meant.output), entry, repaired)
        .await?;
    Ok(run::told(&app, updates))
}
