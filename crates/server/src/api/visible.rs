//! The applied mesh as one caller may see it. Handlers find things through it, so that what is hidden and what is
//! unknown take the same path and give the same answer.

use std::sync::Arc;

use axum::http::Uri;
use futures::future::BoxFuture;
use meshwork_control::governance::Epoch;
use meshwork_core::Result;
use meshwork_core::id::{OutputId, ProductId};
use meshwork_core::mesh::{Domain, Mesh};
use meshwork_core::permission::{self, Resource};
use meshwork_core::product::{Output, Product};
use serde::Deserialize;
use utoipa::IntoParams;

use super::query;
use crate::http::AppState;
use crate::http::auth::Caller;
use crate::http::page::{self, Page, PageParams};

/// What a list of things that belong to products may be asked.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ProductListParams {
    /// Only those of this product.
    #[param(example = "marketing.leads")]
    pub product: Option<String>,
    /// How many at most, 1 to 1000; 100 unless given.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u32>,
    /// From the `next` link of the page before.
    cursor: Option<String>,
}

/// A page of what `fetch` gives, newest first and [`page::MAX_LIMIT`] at a time from an id on, without what is not `shown`.
pub async fn of_products<'f, T, I: From<String> + ToString>(
    asked: &ProductListParams,
    uri: &Uri,
    fetch: impl Fn(Option<I>) -> BoxFuture<'f, Result<Vec<T>>>,
    id: impl Fn(&T) -> I,
    shown: impl Fn(&T) -> bool,
) -> Result<Page<T>> {
    let page = PageParams { limit: asked.limit, cursor: asked.cursor.clone() }.read(uri)?;
    let mut before = page.after.map(I::from);
    let wanted = page.limit as usize + 1;
    let mut found = Vec::new();
    while found.len() < wanted {
        let batch = fetch(before.take()).await?;
        let last = batch.len() < page::MAX_LIMIT as usize;
        before = batch.last().map(&id);
        found.extend(batch.into_iter().filter(&shown));
        if last {
            break;
        }
    }
    found.truncate(wanted);
    Ok(page::of_fetched(found, page.limit, uri, |item| id(item).to_string()))
}

pub struct Visible<'a> {
    caller: &'a Caller,
    epoch: Arc<Epoch>,
}

impl<'a> Visible<'a> {
    pub async fn to(caller: &'a Caller, app: &AppState) -> Result<Self> {
        Ok(Self { caller, epoch: app.query.epoch().await? })
    }

    pub fn revision(&self) -> u64 {
        self.epoch.revision
    }

    pub fn mesh(&self) -> Option<&Mesh> {
        self.epoch.mesh.as_ref()
    }

    /// Whether the caller is a member of the domain's owner team.
    pub fn owns(&self, domain: &Domain) -> bool {
        self.caller.subject().is_home(&domain.name)
    }

    pub fn discovers(&self, domain: &Domain, product: &Product) -> bool {
        self.owns(domain) || self.epoch.discovers(self.caller.subject(), &domain.name, product)
    }

    pub fn discovers_output(&self, domain: &Domain, product: &Product, output: &Output) -> bool {
        let discovered = || match self.epoch.policies() {
            Ok(Some(policies)) => policies.discovers(self.caller.subject(), &domain.name, product, output),
            _ => false,
        };
        self.owns(domain) || discovered()
    }

    /// What the caller may know of, by domain and name.
    pub fn products(&self) -> impl Iterator<Item = (&Domain, &Product)> {
        self.mesh().into_iter().flat_map(Mesh::products).filter(|(domain, product)| self.discovers(domain, product))
    }

    pub fn domain(&self, name: &str) -> Result<&Domain> {
        let found = self.mesh().and_then(|mesh| mesh.domain(name));
        match found {
            Some(domain) => self.caller.may(Resource::Domain { domain: &domain.name }).map(|()| domain),
            None => Err(unknown(&format!("domain `{}`", name.escape_debug()))),
        }
    }

    pub fn product(&self, domain: &str, product: &str) -> Result<(&Domain, &Product)> {
        let called = format!("product `{}.{}`", domain.escape_debug(), product.escape_debug());
        let found = self.mesh().and_then(|mesh| mesh.domain(domain));
        let found = found.and_then(|domain| domain.products.get(product).map(|product| (domain, product)));
        self.permit(found, &called)
    }

    /// The id of `domain.product`, for filters.
    pub fn product_id(&self, name: &str) -> Result<ProductId> {
        let (domain, product) = name.split_once('.').unwrap_or((name, ""));
        let (_, product) = self.product(domain, product)?;
        product.id.clone().ok_or_else(|| unknown(&format!("product `{}`", name.escape_debug())))
    }

    /// The output called so, with what it belongs to.
    pub fn output(&self, domain: &str, output: &str, called: &str) -> Result<(&Domain, &Product, &Output)> {
        let found = self.mesh().and_then(|mesh| {
            let of = mesh.domain(domain)?;
            mesh.output(domain, output).map(|(product, output)| (of, product, output))
        });
        let (domain, product, output) = found.ok_or_else(|| unknown(called))?;
        let discoverable = self.discovers_output(domain, product, output);
        self.caller.may(Resource::Product { domain: &domain.name, called, discoverable })?;
        Ok((domain, product, output))
    }

    /// The product that something called `called` (a run, a publication) belongs to.
    pub fn product_of(&self, id: &ProductId, called: &str) -> Result<(&Domain, &Product)> {
        self.permit(self.find(id), called)
    }

    /// The same without a refusal: for lists.
    pub fn listed(&self, id: &ProductId) -> Option<(&Domain, &Product)> {
        self.find(id).filter(|(domain, product)| self.discovers(domain, product))
    }

    pub fn output_by_id(&self, id: &OutputId) -> Option<(&Domain, &Product, &Output)> {
        let all = self.mesh().into_iter().flat_map(Mesh::products);
        all.flat_map(|(domain, product)| product.outputs.values().map(move |output| (domain, product, output)))
            .find(|(_, _, output)| output.id.as_ref() == Some(id))
    }

    /// Whether the caller may read every row, so that counts tell nothing new (D21).
    pub async fn sees_every_row(&self, app: &AppState, domain: &Domain, output: &Output, major: u32) -> bool {
        let Ok(session) = query::session(self.caller, "http", None, None) else { return false };
        let table = format!("{}_v{major}", output.name);
        let decided = app.query.describe(&session, &domain.name, &table).await;
        decided.is_ok_and(|decision| decision.is_some_and(|decision| decision.allowed && decision.rows.is_empty()))
    }

    fn find(&self, id: &ProductId) -> Option<(&Domain, &Product)> {
        self.mesh().and_then(|mesh| mesh.products().find(|(_, product)| product.id.as_ref() == Some(id)))
    }

    fn permit<'m>(&self, found: Option<(&'m Domain, &'m Product)>, called: &str) -> Result<(&'m Domain, &'m Product)> {
        let (domain, product) = found.ok_or_else(|| unknown(called))?;
        let discoverable = self.discovers(domain, product);
        self.caller.may(Resource::Product { domain: &domain.name, called, discoverable })?;
        Ok((domain, product))
    }
}

pub fn unknown(called: &str) -> meshwork_core::Error {
    permission::unknown(called)
}
