//! Domains: who owns what.

use axum::Json;
use axum::extract::{OriginalUri, Path, State};
use meshwork_core::mesh::Domain;
use meshwork_core::permission::{ApiAction, Resource};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::routes;

use super::visible::Visible;
use crate::http::AppState;
use crate::http::auth::Caller;
use crate::http::page::{self, Page, PageParams};
use crate::http::params::Params;
use crate::http::problem::Answer;
use crate::http::table::Routes;

pub fn routes() -> Routes {
    Routes::new().needs(ApiAction::ListDomains, routes!(list)).needs(ApiAction::ReadDomain, routes!(read))
}

#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct DomainInfo {
    #[schema(example = "marketing")]
    pub name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The owner team.
    #[schema(example = "marketing_team")]
    pub owner: String,
    /// Of the owner team; only its members and administrators see them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub members: Option<Vec<String>>,
    /// Products that you may know of, by name.
    pub products: Vec<String>,
}

fn info(domain: &Domain, visible: &Visible<'_>, caller: &Caller) -> DomainInfo {
    let inside = visible.owns(domain) || caller.subject().admin;
    let products = domain.products.values().filter(|product| visible.discovers(domain, product));
    DomainInfo {
        name: domain.name.to_string(),
        id: domain.id.as_ref().map(ToString::to_string),
        description: domain.description.clone(),
        owner: domain.owner.to_string(),
        members: inside.then(|| domain.members.clone()),
        products: products.map(|product| product.name.to_string()).collect(),
    }
}

/// The domains of the mesh, by name.
#[utoipa::path(get, path = "/domains", tag = "catalog", params(PageParams), responses((status = 200, body = Page<DomainInfo>)))]
async fn list(
    State(app): State<AppState>,
    caller: Caller,
    OriginalUri(uri): OriginalUri,
    Params(page): Params<PageParams>,
) -> Answer<Page<DomainInfo>> {
    caller.may(Resource::Mesh)?;
    let visible = Visible::to(&caller, &app).await?;
    let domains = visible.mesh().into_iter().flat_map(|mesh| mesh.domains.values());
    let domains = domains.map(|domain| info(domain, &visible, &caller));
    Ok(page::of_sorted(domains, &page.read(&uri)?, &uri, |domain| domain.name.clone()))
}

/// One domain.
#[utoipa::path(get, path = "/domains/{domain}", tag = "catalog",
    params(("domain" = String, Path, description = "Its name", example = "marketing")),
    responses((status = 200, body = DomainInfo)))]
async fn read(State(app): State<AppState>, caller: Caller, Path(name): Path<String>) -> Answer<Json<DomainInfo>> {
    let visible = Visible::to(&caller, &app).await?;
    let domain = visible.domain(&name)?;
    Ok(Json(info(domain, &visible, &caller)))
}
