//! Data contracts: normalised as JSON, or the file as its authors wrote it.

use axum::Json;
use axum::extract::{OriginalUri, Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use meshwork_core::Error;
use meshwork_core::contract::{self, Contract, Dialect};
use meshwork_core::permission::{ApiAction, Resource};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::routes;

use super::visible::{Visible, unknown};
use crate::http::AppState;
use crate::http::auth::Caller;
use crate::http::format::choose;
use crate::http::page::{self, Page, PageParams};
use crate::http::params::Params;
use crate::http::problem::{Answer, Failure};
use crate::http::table::Routes;

pub fn routes() -> Routes {
    Routes::new().needs(ApiAction::ListContracts, routes!(list)).needs(ApiAction::ReadContract, routes!(read))
}

#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct ContractSummary {
    #[schema(example = "marketing")]
    pub domain: String,
    pub product: String,
    pub output: String,
    pub major: u32,
    #[schema(example = "marketing_leads")]
    pub name: String,
    #[schema(example = "2.1.0")]
    pub version: String,
    /// `short`, or the ODCS version such as `v3.1.0`.
    pub dialect: String,
    /// Over the normalised contract: the same digest means the same promises.
    pub digest: String,
}

/// A contract in its normalised form: tables with fields and every quality clause, SLAs.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct ContractInfo {
    #[serde(flatten)]
    pub summary: ContractSummary,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The table of the contract that this output has.
    pub table: String,
    /// Each with `name`, `fields` and `clauses`.
    #[schema(value_type = Vec<Object>)]
    pub tables: serde_json::Value,
    /// Each with `property`, `element` and `value` (seconds, or a fraction).
    #[schema(value_type = Vec<Object>)]
    pub sla: serde_json::Value,
    /// The day after which this major ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sunset: Option<String>,
}

fn summary(domain: &str, product: &str, output: &str, major: u32, contract: &Contract) -> ContractSummary {
    ContractSummary {
        domain: domain.to_owned(),
        product: product.to_owned(),
        output: output.to_owned(),
        major,
        name: contract.name.clone(),
        version: contract.version.to_string(),
        dialect: match &contract.dialect {
            Dialect::Short => "short".to_owned(),
            Dialect::Odcs(version) => version.clone(),
        },
        digest: contract.digest.clone(),
    }
}

/// The contracts of all outputs that you may know of, by domain, output and major.
#[utoipa::path(get, path = "/contracts", tag = "catalog", params(PageParams),
    responses((status = 200, body = Page<ContractSummary>)))]
async fn list(
    State(app): State<AppState>,
    caller: Caller,
    OriginalUri(uri): OriginalUri,
    Params(page): Params<PageParams>,
) -> Answer<Page<ContractSummary>> {
    caller.may(Resource::Mesh)?;
    let page = page.read(&uri)?;
    let visible = Visible::to(&caller, &app).await?;
    let mut contracts: Vec<ContractSummary> = visible
        .products()
        .flat_map(|(domain, product)| product.outputs.values().map(move |output| (domain, product, output)))
        .filter(|(domain, product, output)| visible.discovers_output(domain, product, output))
        .flat_map(|(domain, product, output)| {
            output
                .versions
                .iter()
                .map(|(major, version)| summary(&domain.name, &product.name, &output.name, *major, &version.contract))
        })
        .collect();
    let key = |c: &ContractSummary| format!("{} {} {:010}", c.domain, c.output, c.major);
    contracts.sort_by_key(key);
    Ok(page::of_sorted(contracts, &page, &uri, key))
}

/// One contract. `application/yaml` gives the file as it was written, comments included: ODCS, or the short form.
/// `application/odcs+yaml` gives the standard in either case.
#[utoipa::path(get, path = "/contracts/{domain}/{output}/{major}", tag = "catalog",
    params(
        ("domain" = String, Path, description = "The domain's name", example = "marketing"),
        ("output" = String, Path, description = "The output's name", example = "leads"),
        ("major" = u32, Path, description = "The contract's major version", example = 2)
    ),
    responses((status = 200, content((ContractInfo = "application/json"), (String = "application/yaml"), (String = "application/odcs+yaml")))))]
async fn read(
    State(app): State<AppState>,
    caller: Caller,
    Path((domain, output, major)): Path<(String, String, String)>,
    headers: HeaderMap,
) -> Answer<Response> {
    let visible = Visible::to(&caller, &app).await?;
    let called =
        format!("contract `{}.{}` version {}", domain.escape_debug(), output.escape_debug(), major.escape_debug());
    let (domain, product, output) = visible.output(&domain, &output, &called)?;
    let found = major.parse().ok().and_then(|major: u32| output.versions.get(&major).map(|version| (major, version)));
    let (major, version) = found.ok_or_else(|| unknown(&called))?;
    let contract = &version.contract;
    let accept: Vec<&str> = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok()).collect();
    let mut response = match choose(&accept.join(","), &OFFERS) {
        Some(0) => Json(ContractInfo {
            summary: summary(&domain.name, &product.name, &output.name, major, contract),
            owner: contract.owner.clone(),
            description: contract.description.clone(),
            table: version.table.clone(),
            tables: shown(&contract.tables),
            sla: shown(&contract.sla),
            sunset: version.sunset.map(|day| day.to_string()),
        })
        .into_response(),
        Some(2) => ([(header::CONTENT_TYPE, OFFERS[2])], contract::export(contract)).into_response(),
        Some(_) => ([(header::CONTENT_TYPE, "application/yaml")], contract.text.clone()).into_response(),
        None => {
            let error = Error::usage("MW0932", "none of the media types in `accept` can be made here")
                .hint(format!("accept one of {}", OFFERS.join(", ")));
            return Err(Failure::with_status(error, StatusCode::NOT_ACCEPTABLE));
        }
    };
    response.headers_mut().insert(header::VARY, HeaderValue::from_static("accept"));
    Ok(response)
}

const OFFERS: [&str; 5] = ["application/json", "application/yaml", "application/odcs+yaml", "text/yaml", "text/plain"];

/// As JSON, without the places in files that `check` needs.
fn shown(value: &impl Serialize) -> serde_json::Value {
    let mut value = serde_json::to_value(value).unwrap_or_default();
    drop_places(&mut value);
    value
}

fn drop_places(value: &mut serde_json::Value) {
    match value {
        serde_json::Value::Object(members) => {
            members.remove("place");
            members.values_mut().for_each(drop_places);
        }
        serde_json::Value::Array(items) => items.iter_mut().for_each(drop_places),
        _ => {}
    }
}
