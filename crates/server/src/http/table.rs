//! The table of routes: each is declared with the action that it needs. What is not in the table is not served.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use meshwork_core::Error;
use meshwork_core::permission::ApiAction;
use utoipa::openapi::path::{Operation, ParameterIn, PathItem};
use utoipa::openapi::{OpenApi, RefOr};
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouter};

use super::auth;
use super::etag;
use super::params;
use super::problem::Failure;
use super::state::AppState;

/// A whole mesh as JSON.
pub const MESH_BODY_LIMIT: usize = 64 << 20;

/// What a route asks of its caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Nothing: it tells nothing about the mesh. The action is one that needs no credential.
    Public(ApiAction),
    /// A credential, unless the peer is this machine.
    Operator(ApiAction),
    /// A credential, and that the handler asks for this action on the resource it acts on.
    Needs(ApiAction),
}

impl Access {
    pub fn action(self) -> ApiAction {
        match self {
            Self::Public(action) | Self::Operator(action) | Self::Needs(action) => action,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Declared {
    pub method: Method,
    pub path: String,
    pub access: Access,
    /// Names of the query parameters that it takes.
    pub query: Vec<String>,
}

/// Routes on their way into the router.
pub struct Routes {
    router: OpenApiRouter<AppState>,
    declared: Vec<Declared>,
}

impl Default for Routes {
    fn default() -> Self {
        Self { router: OpenApiRouter::new(), declared: Vec::new() }
    }
}

impl Routes {
    pub fn new() -> Self {
        Self::default()
    }

    /// One handler (as `routes!(handler)`) with what it asks of its caller. Its method, path and query parameters are
    /// those of its OpenAPI description.
    #[must_use]
    pub fn on(self, access: Access, handler: UtoipaMethodRouter<AppState>) -> Self {
        let mut declared = self.declared;
        for (path, item) in &handler.1.paths {
            declared.extend(operations(item).map(|(method, operation)| Declared {
                method,
                path: path.clone(),
                access,
                query: query_parameters(operation),
            }));
        }
        Self { router: self.router.routes(handler), declared }
    }

    #[must_use]
    pub fn needs(self, action: ApiAction, handler: UtoipaMethodRouter<AppState>) -> Self {
        self.on(Access::Needs(action), handler)
    }

    #[must_use]
    pub fn merge(mut self, other: Self) -> Self {
        self.declared.extend(other.declared);
        Self { router: self.router.merge(other.router), declared: self.declared }
    }

    /// All of `other` under a prefix.
    #[must_use]
    pub fn nest(mut self, prefix: &str, other: Self) -> Self {
        let moved = other.declared.into_iter().map(|d| Declared { path: format!("{prefix}{}", d.path), ..d });
        self.declared.extend(moved);
        Self { router: self.router.nest(prefix, other.router), declared: self.declared }
    }

    /// These answer small JSON documents: each gets an entity tag over its bytes.
    #[must_use]
    pub fn tagged(self) -> Self {
        Self { router: self.router.layer(axum::middleware::from_fn(etag::tag_metadata)), ..self }
    }

    pub fn finish(self) -> (axum::Router<AppState>, OpenApi, Table) {
        let (router, openapi) = self.router.split_for_parts();
        (router, openapi, Table::of(self.declared))
    }
}

fn operations(item: &PathItem) -> impl Iterator<Item = (Method, &Operation)> {
    [
        (Method::GET, &item.get),
        (Method::PUT, &item.put),
        (Method::POST, &item.post),
        (Method::DELETE, &item.delete),
        (Method::PATCH, &item.patch),
    ]
    .into_iter()
    .filter_map(|(method, operation)| operation.as_ref().map(|operation| (method, operation)))
}

fn query_parameters(operation: &Operation) -> Vec<String> {
    let parameters = operation.parameters.iter().flatten();
    let named = parameters.filter_map(|parameter| match parameter {
        RefOr::T(parameter) if parameter.parameter_in == ParameterIn::Query => Some(parameter.name.clone()),
        _ => None,
    });
    named.collect()
}

/// By path, then by method.
#[derive(Clone, Debug, Default)]
pub struct Table(Arc<BTreeMap<String, BTreeMap<String, Declared>>>);

impl Table {
    fn of(declared: Vec<Declared>) -> Self {
        let mut table: BTreeMap<String, BTreeMap<String, Declared>> = BTreeMap::new();
        for route in declared {
            table.entry(route.path.clone()).or_default().insert(route.method.to_string(), route);
        }
        Self(Arc::new(table))
    }

    pub fn routes(&self) -> impl Iterator<Item = &Declared> {
        self.0.values().flat_map(BTreeMap::values)
    }

    fn find(&self, path: &str, method: &Method) -> Option<&Declared> {
        let method = if method == Method::HEAD { &Method::GET } else { method };
        self.0.get(path)?.get(method.as_str())
    }

    /// 405 with the methods that the path has.
    fn refuse(&self, path: &str) -> Response {
        let mut allow: Vec<&str> = self.0.get(path).into_iter().flat_map(BTreeMap::keys).map(String::as_str).collect();
        if allow.contains(&"GET") {
            allow.push("HEAD");
        }
        let mut response = StatusCode::METHOD_NOT_ALLOWED.into_response();
        if let Ok(allow) = HeaderValue::from_str(&allow.join(", ")) {
            response.headers_mut().insert(header::ALLOW, allow);
        }
        response
    }
}

#[derive(Clone)]
pub struct Guard {
    pub app: AppState,
    pub table: Table,
}

/// Before every handler: the route is declared, its query parameters are known, its caller is somebody. After it: an
/// answer was only given if the handler had asked for permission.
pub async fn guard(State(guard): State<Guard>, mut request: Request, next: Next) -> Response {
    let Some(path) = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned()) else {
        return next.run(request).await;
    };
    let Some(declared) = guard.table.find(&path, request.method()).cloned() else {
        return guard.table.refuse(&path);
    };
    if let Err(error) = params::check_names(request.uri().query(), &declared.query) {
        return Failure::from(error).into_response();
    }
    let action = match declared.access {
        Access::Public(_) => return next.run(request).await,
        Access::Operator(_) if auth::is_local(&request) => return next.run(request).await,
        Access::Operator(action) | Access::Needs(action) => action,
    };
    let caller = match auth::identify(&guard.app, request.headers(), request.extensions(), action).await {
        Ok(caller) => caller,
        Err(error) => return Failure::from(error).into_response(),
    };
    request.extensions_mut().insert(caller.clone());
    let response = next.run(request).await;
    let answered = response.status().is_success() || response.status() == StatusCode::NOT_MODIFIED;
    if answered && !caller.has_asked() {
        let forgot = format!("{} {} answered without asking for permission", declared.method, declared.path);
        return Failure::from(Error::internal("MW0998", forgot)).into_response();
    }
    response
}
