//! Publications: what was made visible, when, and under which contract.

use axum::Json;
use axum::extract::{OriginalUri, Path, State};
use chrono::{DateTime, Utc};
use futures::FutureExt;
use meshwork_core::id::PublicationId;
use meshwork_core::permission::{ApiAction, Resource};
use meshwork_core::publication::{Body, Publication};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::routes;

use super::visible::{ProductListParams, Visible, of_products, unknown};
use crate::http::AppState;
use crate::http::auth::Caller;
use crate::http::page::{self, Page};
use crate::http::params::Params;
use crate::http::problem::Answer;
use crate::http::table::Routes;

pub fn routes() -> Routes {
    Routes::new().needs(ApiAction::ListPublications, routes!(list)).needs(ApiAction::ReadPublication, routes!(read))
}

#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct PublicationInfo {
    pub id: String,
    #[schema(example = "marketing.leads")]
    pub product: String,
    pub run: String,
    /// All outputs became visible together at this moment; `as_of` it reads exactly this.
    pub at: DateTime<Utc>,
    pub outputs: Vec<PublishedOutputInfo>,
}

#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct PublishedOutputInfo {
    #[schema(example = "marketing.leads")]
    pub table: String,
    pub major: u32,
    pub contract_version: String,
    pub contract_digest: String,
    pub delta_version: u64,
    /// `table`, `view` or `external`.
    #[schema(example = "table")]
    pub kind: String,
    /// Of a view: the published versions that it was checked over and is served over, as far as you may know of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub over: Vec<PinnedInfo>,
    /// Of an external table: what was registered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registered: Option<RegisteredInfo>,
    /// Counts are data: absent unless you may read the table, and every row of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
}

#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct PinnedInfo {
    #[schema(example = "crm.customers")]
    pub table: String,
    pub major: u32,
    pub publication: String,
    pub delta_version: u64,
}

#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct RegisteredInfo {
    /// `delta` or `parquet`.
    pub format: String,
    /// Of the Delta table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
    pub files: u64,
}

fn over(body: &Body, visible: &Visible<'_>) -> Vec<PinnedInfo> {
    let Body::View(view) = body else { return Vec::new() };
    let pinned = view.inputs.values().filter_map(|input| {
        let (domain, product, output) = visible.output_by_id(&input.table.output)?;
        visible.discovers_output(domain, product, output).then(|| PinnedInfo {
            table: format!("{}.{}", domain.name, output.name),
            major: input.table.major,
            publication: input.publication.to_string(),
            delta_version: input.table.delta_version,
        })
    });
    pinned.collect()
}

fn registered(body: &Body) -> Option<RegisteredInfo> {
    let Body::External(external) = body else { return None };
    Some(RegisteredInfo { format: external.format.clone(), version: external.version, files: external.files })
}

async fn info(publication: &Publication, visible: &Visible<'_>, app: &AppState) -> PublicationInfo {
    let product = visible.listed(&publication.product);
    let mut outputs = Vec::new();
    for part in &publication.outputs {
        let Some((domain, of, output)) = visible.output_by_id(&part.output) else { continue };
        if !visible.discovers_output(domain, of, output) {
            continue;
        }
        let counted = visible.sees_every_row(app, domain, output, part.major).await;
        outputs.push(PublishedOutputInfo {
            table: format!("{}.{}", domain.name, output.name),
            major: part.major,
            contract_version: part.contract_version.to_string(),
            contract_digest: part.contract_digest.clone(),
            delta_version: part.delta_version,
            kind: part.body.word().to_owned(),
            over: over(&part.body, visible),
            registered: registered(&part.body),
            rows: counted.then_some(part.rows),
            bytes: counted.then_some(part.bytes),
        });
    }
    PublicationInfo {
        id: publication.id.to_string(),
        product: product.map(|(domain, product)| format!("{}.{}", domain.name, product.name)).unwrap_or_default(),
        run: publication.run.to_string(),
        at: publication.at,
        outputs,
    }
}

/// Publications, newest first.
#[utoipa::path(get, path = "/publications", tag = "publications and runs", params(ProductListParams),
    responses((status = 200, body = Page<PublicationInfo>)))]
async fn list(
    State(app): State<AppState>,
    caller: Caller,
    OriginalUri(uri): OriginalUri,
    Params(asked): Params<ProductListParams>,
) -> Answer<Page<PublicationInfo>> {
    caller.may(Resource::Mesh)?;
    let visible = Visible::to(&caller, &app).await?;
    let product = asked.product.as_deref().map(|name| visible.product_id(name)).transpose()?;
    let (publications, product) = (&app.publications, product.as_ref());
    let fetch = |before: Option<PublicationId>| {
        async move { publications.publications(product, before.as_ref(), page::MAX_LIMIT).await }.boxed()
    };
    let shown = |publication: &Publication| visible.listed(&publication.product).is_some();
    let page = of_products(&asked, &uri, fetch, |publication| publication.id.clone(), shown).await?;
    let mut items = Vec::with_capacity(page.items.len());
    for publication in &page.items {
        items.push(info(publication, &visible, &app).await);
    }
    Ok(Page { items, next: page.next })
}

/// One publication.
#[utoipa::path(get, path = "/publications/{id}", tag = "publications and runs",
    params(("id" = String, Path, description = "Its id")), responses((status = 200, body = PublicationInfo)))]
async fn read(State(app): State<AppState>, caller: Caller, Path(id): Path<String>) -> Answer<Json<PublicationInfo>> {
    let visible = Visible::to(&caller, &app).await?;
    let called = format!("publication `{}`", id.escape_debug());
    let found = app.publications.publication(&PublicationId::new(id)).await?;
    let publication = found.ok_or_else(|| unknown(&called))?;
    visible.product_of(&publication.product, &called)?;
    Ok(Json(info(&publication, &visible, &app).await))
}
