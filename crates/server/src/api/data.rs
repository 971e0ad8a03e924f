//! The domain endpoints: each output port as a resource of its own.

pub(super) mod filter;

use axum::extract::{OriginalUri, Path, State};
use axum::http::{HeaderMap, HeaderValue, Method, Uri, header};
use axum::response::Response;
use meshwork_control::port::data::TableUse;
use meshwork_core::effect::Timestamp;
use meshwork_core::permission::{ApiAction, Resource};
use meshwork_core::publication::{Publication, PublishedOutput};
use meshwork_core::{Error, Result};
use serde::{Deserialize, Serialize};
use utoipa::IntoParams;
use utoipa_axum::routes;

use self::filter::Selection;
use super::query::{QueryResult, answered, bind_text, counted, head, session};
use crate::http::auth::Caller;
use crate::http::format::{self, Format, Options};
use crate::http::params::Params;
use crate::http::problem::Answer;
use crate::http::table::Routes;
use crate::http::{AppState, DATA_CACHE, etag, page};

pub fn routes() -> Routes {
    Routes::new().needs(ApiAction::ReadData, routes!(read))
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct DataParams {
    /// Columns, separated by commas; all that you may see unless given. Odd names go in "double quotes".
    #[param(example = "lead_id,source,score")]
    select: Option<String>,
    /// Conditions joined by `and`: `column op value` with eq, ne, lt, le, gt, ge, like; `column in (a, b)`, `not in`;
    /// `column is null`, `is not null`. Text with blanks goes in 'single quotes'.
    #[param(example = "score ge 50 and source in (paid, referral)")]
    filter: Option<String>,
    /// Columns to sort by, separated by commas, each with `asc` or `desc`.
    #[param(example = "score desc, lead_id")]
    order: Option<String>,
    /// Rows at most; all unless given. JSON answers then hold the path of the `next` page.
    #[param(example = 10)]
    limit: Option<u64>,
    /// Rows to leave out at the beginning. Only an `order` over a unique key makes pages that do not overlap.
    offset: Option<u64>,
    /// From the `next` link of the page before; it also holds on to that page's moment.
    cursor: Option<String>,
    /// Reads the table as it was published at this moment (RFC 3339).
    as_of: Option<String>,
    /// Selects among the purposes that you have agreements for.
    purpose: Option<String>,
    /// CSV only: leave text as it is that a spreadsheet would run as a formula.
    #[serde(default)]
    csv_raw: bool,
}

/// What a cursor of this endpoint holds: pages of one reading come from one moment.
#[derive(Debug, Serialize, Deserialize)]
struct Position {
    offset: u64,
    as_of: Timestamp,
}

/// Rows of one output port, under your agreement: the same masks and filters as on every other port.
///
/// The form is negotiated by `Accept`. The `ETag` stands for the publication and for what you may see of it, so that
/// `If-None-Match` saves reading the same again. `meshwork-publication` and `meshwork-contract-version` name what was
/// read.
#[utoipa::path(get, path = "/data/{domain}/{output}", tag = "data",
    params(
        ("domain" = String, Path, description = "The domain's name", example = "marketing"),
        ("output" = String, Path, description = "The output's name, or `output_v1` for a major", example = "leads"),
        ("if-none-match" = Option<String>, Header, description = "The `ETag` of an earlier answer"),
        DataParams
    ),
    responses(
        (status = 200, content(
            (QueryResult = "application/json"), (String = "text/csv"), (Vec<u8> = "application/vnd.apache.arrow.stream"),
            (Vec<u8> = "application/vnd.apache.parquet"), (String = "application/x-ndjson")),
            headers(
                ("etag" = String, description = "Stands for the publication and for what you may see of it"),
                ("meshwork-publication" = String, description = "The publication that was read"),
                ("meshwork-published-at" = String, description = "Its moment"),
                ("meshwork-contract-version" = String, description = "The contract version that it was checked against"),
                ("meshwork-query-id" = String, description = "Finds this answer in the audit log"),
                ("meshwork-warning" = String, description = "Such as that the table is deprecated")
            )),
        (status = 304, description = "You have this already")
    ))]
async fn read(
    State(app): State<AppState>,
    caller: Caller,
    method: Method,
    headers: HeaderMap,
    OriginalUri(uri): OriginalUri,
    Path((domain, output)): Path<(String, String)>,
    Params(asked): Params<DataParams>,
) -> Answer<Response> {
    let format = Format::negotiate(&headers)?;
    let mut selection = selection(&asked)?;
    let mut session = session(&caller, "data", asked.purpose.clone(), asked.as_of.as_deref())?;
    if let Some(cursor) = &asked.cursor {
        let position = position(cursor, &asked, &uri)?;
        selection.offset = Some(position.offset);
        session.as_of = Some(position.as_of);
    }
    caller.may(Resource::Mesh)?;
    let (sql, values) = selection.to_sql(&domain, &output);
    let prepared = counted(&app, app.query.prepare(&session, &sql).await).map_err(unplaced)?;
    let values = bind_text(&prepared.parameters(), &values)?;
    let table = prepared.tables().first().cloned();
    let served = match &table {
        Some(table) => served(&app, table, session.as_of).await?,
        None => None,
    };
    let tag = etag(table.as_ref(), served.as_ref(), &uri, format);
    if etag::is_known(&headers, &tag) {
        return Ok(etag::not_modified(tag, DATA_CACHE));
    }
    let mut response = if method == Method::HEAD {
        head(format)
    } else {
        let answer = answered(&app, app.query.execute(&prepared, values).await)?;
        let options = Options {
            query_id: answer.query_id.to_string(),
            csv_raw: asked.csv_raw,
            next: next(&selection, served.as_ref(), &uri),
            request_id: caller.request_id(),
            warnings: answer.warnings,
        };
        format::respond(format, answer.schema, answer.stream, options, app.metrics.clone()).await?
    };
    let out = response.headers_mut();
    out.insert(header::ETAG, tag);
    if let Some((publication, part)) = served {
        let named = [
            ("meshwork-publication", publication.id.to_string()),
            ("meshwork-published-at", publication.at.to_rfc3339()),
            ("meshwork-contract-version", part.contract_version.to_string()),
        ];
        for (name, value) in named {
            if let Ok(value) = HeaderValue::from_str(&value) {
                out.insert(name, value);
            }
        }
    }
    Ok(response)
}

/// A place in the statement that we have made says nothing to whoever has not seen it.
pub(super) fn unplaced(mut error: Error) -> Error {
    error.place = None;
    error
}

fn selection(asked: &DataParams) -> Result<Selection> {
    Ok(Selection {
        columns: asked.select.as_deref().map(filter::parse_select).transpose()?.unwrap_or_default(),
        conditions: asked.filter.as_deref().map(filter::parse_filter).transpose()?.unwrap_or_default(),
        order: asked.order.as_deref().map(filter::parse_order).transpose()?.unwrap_or_default(),
        limit: asked.limit,
        offset: asked.offset,
    })
}

fn position(cursor: &str, asked: &DataParams, uri: &Uri) -> Result<Position> {
    if asked.offset.is_some() || asked.as_of.is_some() {
        return Err(Error::usage("MW0931", "a cursor already says `offset` and `as_of`").hint("leave both out"));
    }
    let text = page::decode(cursor, uri.path())?;
    serde_json::from_str(&text).map_err(|_| Error::usage("MW0931", "this cursor is not one of this list"))
}

/// The publication that the plan reads: the one with the table version that the plan has pinned.
async fn served(
    app: &AppState,
    table: &TableUse,
    as_of: Option<Timestamp>,
) -> Result<Option<(Publication, PublishedOutput)>> {
    let pinned = |part: &&PublishedOutput| {
        part.output == table.output_id && part.major == table.major && part.delta_version == table.delta_version
    };
    let with_part = |publication: Publication| {
        let part = publication.outputs.iter().find(pinned).cloned()?;
        Some((publication, part))
    };
    let Some(newest) = app.publications.resolve(&table.output_id, table.major, as_of).await? else { return Ok(None) };
    let product = newest.product.clone();
    match with_part(newest) {
        Some(found) => Ok(Some(found)),
        // Another one came since the statement was planned.
        None => {
            let recent = app.publications.publications(Some(&product), None, RECENT).await?;
            Ok(recent.into_iter().find_map(with_part))
        }
    }
}

/// Publications that can come between planning a statement and looking up what it reads.
const RECENT: u32 = 20;

fn etag(
    table: Option<&TableUse>,
    served: Option<&(Publication, PublishedOutput)>,
    uri: &Uri,
    format: Format,
) -> HeaderValue {
    let read = table
        .map(|table| format!("{} {} {} {}", table.output_id, table.major, table.delta_version, table.decision_digest));
    let publication = served.map(|(publication, _)| publication.id.to_string());
    let parts =
        [read.unwrap_or_default(), publication.unwrap_or_default(), uri.to_string(), format.media_type().to_owned()];
    etag::over(parts.iter().map(|part| part.as_bytes()))
}

/// The next page continues at the same moment. There is none without a limit.
fn next(selection: &Selection, served: Option<&(Publication, PublishedOutput)>, uri: &Uri) -> Option<(u64, String)> {
    let limit = selection.limit.filter(|limit| *limit > 0)?;
    let (publication, _) = served?;
    let position = Position { offset: selection.offset.unwrap_or(0).saturating_add(limit), as_of: publication.at };
    let key = serde_json::to_string(&position).ok()?;
    Some((limit, page::next_link(uri, &key, &["offset", "as_of"])))
}
