//! Data products with their ports.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{OriginalUri, Path, State};
use chrono::{DateTime, Utc};
use meshwork_core::contract::Field;
use meshwork_core::mesh::Domain;
use meshwork_core::permission::{ApiAction, Resource};
use meshwork_core::product::{Input, Output, OutputVersion, Product};
use meshwork_core::publication::Publication;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::routes;

use super::visible::Visible;
use super::word;
use crate::http::AppState;
use crate::http::auth::Caller;
use crate::http::page::{self, Page, PageParams};
use crate::http::params::Params;
use crate::http::problem::Answer;
use crate::http::table::Routes;

pub fn routes() -> Routes {
    Routes::new().needs(ApiAction::ListProducts, routes!(list)).needs(ApiAction::ReadProduct, routes!(read))
}

#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct ProductSummary {
    #[schema(example = "marketing")]
    pub domain: String,
    #[schema(example = "leads")]
    pub name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    #[schema(example = "2.1.0")]
    pub version: String,
    /// `proposed`, `draft`, `active`, `deprecated` or `retired`.
    #[schema(example = "active")]
    pub status: String,
    /// `source-aligned`, `aggregate` or `consumer-aligned`.
    #[schema(example = "source-aligned")]
    pub archetype: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Tables in SQL, such as `marketing.leads`.
    pub tables: Vec<String>,
}

#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct ProductInfo {
    #[serde(flatten)]
    pub summary: ProductSummary,
    /// What it reads, as far as you may know of it.
    pub inputs: BTreeMap<String, InputInfo>,
    pub outputs: Vec<OutputInfo>,
}

#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum InputInfo {
    /// A source of the domain's own. Where it lies is the domain's to know.
    Source {
        /// `csv`, `json`, `parquet` or `postgres`.
        #[serde(rename = "type")]
        kind: String,
    },
    /// Another product's output.
    Product {
        /// Such as `finance.ad_spend`.
        table: String,
        product: String,
        /// Contract major.
        version: u32,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        purpose: Option<String>,
    },
}

#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct OutputInfo {
    #[schema(example = "leads")]
    pub name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// In SQL.
    #[schema(example = "marketing.leads")]
    pub table: String,
    /// `full`, `append`, `merge`, `view` or `external`.
    pub mode: String,
    /// By contract major, oldest first.
    pub versions: Vec<OutputVersionInfo>,
}

#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct OutputVersionInfo {
    pub major: u32,
    /// Names this major outright in SQL.
    #[schema(example = "marketing.leads_v2")]
    pub table: String,
    pub contract: String,
    pub contract_version: String,
    /// After this day a reader that still pins this major gets an error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sunset: Option<String>,
    pub columns: Vec<ColumnInfo>,
    /// What is served now; absent before the first publication.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub published: Option<PublishedInfo>,
}

#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct ColumnInfo {
    pub name: String,
    /// The contract's logical type.
    #[schema(example = "string")]
    pub logical_type: String,
    pub required: bool,
    pub unique: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub classifications: Vec<String>,
}

#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct PublishedInfo {
    pub publication: String,
    pub at: DateTime<Utc>,
    pub contract_version: String,
}

fn summary(domain: &Domain, product: &Product, visible: &Visible<'_>) -> ProductSummary {
    let outputs = product.outputs.values().filter(|output| visible.discovers_output(domain, product, output));
    ProductSummary {
        domain: domain.name.to_string(),
        name: product.name.to_string(),
        id: product.id.as_ref().map(ToString::to_string),
        version: product.version.to_string(),
        status: word(&product.status),
        archetype: word(&product.archetype),
        description: product.description.clone(),
        tables: outputs.map(|output| format!("{}.{}", domain.name, output.name)).collect(),
    }
}

fn input(input: &Input, visible: &Visible<'_>) -> Option<InputInfo> {
    Some(match input {
        Input::Source(source) => InputInfo::Source { kind: source.kind.word().to_owned() },
        Input::Product(upstream) => {
            let domain = visible.mesh()?.domain(&upstream.domain)?;
            let product = domain.products.get(&upstream.product)?;
            if !visible.discovers(domain, product) {
                return None;
            }
            InputInfo::Product {
                table: format!("{}.{}", upstream.domain, upstream.output),
                product: format!("{}.{}", upstream.domain, upstream.product),
                version: upstream.version,
                purpose: upstream.purpose.clone(),
            }
        }
    })
}

fn column(field: &Field) -> ColumnInfo {
    ColumnInfo {
        name: field.name.clone(),
        logical_type: word(&field.logical_type),
        required: field.required,
        unique: field.unique,
        description: field.description.clone(),
        classifications: field.classifications.iter().map(ToString::to_string).collect(),
    }
}

fn output_version(
    table: &str,
    major: u32,
    version: &OutputVersion,
    published: Option<PublishedInfo>,
) -> OutputVersionInfo {
    OutputVersionInfo {
        major,
        table: format!("{table}_v{major}"),
        contract: version.contract.name.clone(),
        contract_version: version.contract.version.to_string(),
        sunset: version.sunset.map(|day| day.to_string()),
        columns: version.schema().fields.iter().map(column).collect(),
        published,
    }
}

fn output(domain: &Domain, output: &Output, current: &[Publication]) -> OutputInfo {
    let table = format!("{}.{}", domain.name, output.name);
    let published = |major: u32| {
        let served = |publication: &Publication| {
            let part =
                publication.outputs.iter().find(|o| Some(&o.output) == output.id.as_ref() && o.major == major)?;
            Some(PublishedInfo {
                publication: publication.id.to_string(),
                at: publication.at,
                contract_version: part.contract_version.to_string(),
            })
        };
        current.iter().filter_map(served).max_by_key(|published| published.at)
    };
    OutputInfo {
        name: output.name.to_string(),
        id: output.id.as_ref().map(ToString::to_string),
        mode: word(&output.mode),
        versions: output.versions.iter().map(|(m, v)| output_version(&table, *m, v, published(*m))).collect(),
        table,
    }
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct ListParams {
    /// Only products of this domain.
    #[param(example = "marketing")]
    domain: Option<String>,
    /// Only products in this state.
    #[param(example = "active")]
    status: Option<String>,
    /// How many at most, 1 to 1000; 100 unless given.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u32>,
    /// From the `next` link of the page before.
    cursor: Option<String>,
}

/// The products that you may know of, by domain and name.
#[utoipa::path(get, path = "/products", tag = "catalog", params(ListParams),
    responses((status = 200, body = Page<ProductSummary>)))]
async fn list(
    State(app): State<AppState>,
    caller: Caller,
    OriginalUri(uri): OriginalUri,
    Params(asked): Params<ListParams>,
) -> Answer<Page<ProductSummary>> {
    caller.may(Resource::Mesh)?;
    let page = PageParams { limit: asked.limit, cursor: asked.cursor }.read(&uri)?;
    let visible = Visible::to(&caller, &app).await?;
    let products = visible
        .products()
        .filter(|(domain, _)| asked.domain.as_ref().is_none_or(|name| domain.name == name.as_str()))
        .map(|(domain, product)| summary(domain, product, &visible))
        .filter(|product| asked.status.as_ref().is_none_or(|status| product.status == *status));
    // A blank sorts before every character of a name, so `a.x` comes before `a_b.x`.
    Ok(page::of_sorted(products, &page, &uri, |product| format!("{} {}", product.domain, product.name)))
}

/// One product with its inputs, outputs and what is published.
#[utoipa::path(get, path = "/products/{domain}/{product}", tag = "catalog",
    params(
        ("domain" = String, Path, description = "The domain's name", example = "marketing"),
        ("product" = String, Path, description = "The product's name", example = "leads")
    ),
    responses((status = 200, body = ProductInfo)))]
async fn read(
    State(app): State<AppState>,
    caller: Caller,
    Path((domain, product)): Path<(String, String)>,
) -> Answer<Json<ProductInfo>> {
    let visible = Visible::to(&caller, &app).await?;
    let (domain, product) = visible.product(&domain, &product)?;
    let current = app.publications.current().await?;
    let inputs = product.inputs.iter().filter_map(|(name, i)| input(i, &visible).map(|i| (name.to_string(), i)));
    let outputs = product.outputs.values().filter(|output| visible.discovers_output(domain, product, output));
    Ok(Json(ProductInfo {
        summary: summary(domain, product, &visible),
        inputs: inputs.collect(),
        outputs: outputs.map(|o| output(domain, o, &current)).collect(),
    }))
}
