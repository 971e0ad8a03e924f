//! The OpenAPI 3.1 document: what the handlers declare, with what holds for all of them added in one place.

use meshwork_core::permission::ApiAction;
use serde_json::json;
use utoipa::openapi::content::ContentBuilder;
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::path::{Operation, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{Object, Type};
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{
    Components, InfoBuilder, License, OpenApi, Ref, RefOr, Required, Response, ResponseBuilder, Tag,
};
use utoipa::{PartialSchema, ToSchema};

use super::problem::{CONTENT_TYPE, Problem};
use super::table::{Access, Table};

const ABOUT: &str = "\
One API for everything: what the command line does, it does through these routes.

Sign in with `Authorization: Bearer TOKEN`, or with a user and password as Basic. `Meshwork-Purpose` selects among the \
purposes that you have agreements for; `Meshwork-As` lets an administrator act with another's rights.

Errors are problem details (`application/problem+json`) with a stable `code` and hints; `type` leads to the long \
explanation. What you may not know exists is answered with 404, as if it did not exist.

Lists come in pages: follow `next`. Answers carry an `ETag`; send it back as `If-None-Match`. An unknown query parameter \
is an error, never ignored.";

const TAGS: [(&str, &str); 7] = [
    ("catalog", "What the mesh holds: domains, products, contracts. You see what you may discover."),
    ("data", "Reading data, under your agreements: the same rows and masks as on every other port."),
    ("publications and runs", "How data came to be, and making it."),
    ("quarantine", "Rows that runs have set aside."),
    ("access", "Who you are, and who may read what."),
    ("declaration", "Bringing the applied mesh to what a checkout declares."),
    ("operations", "Health, metrics, audit, error codes."),
];

pub fn complete(mut document: OpenApi, table: &Table) -> OpenApi {
    document.info = InfoBuilder::new()
        .title("Meshwork")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(ABOUT))
        .license(Some(License::new("MIT OR Apache-2.0")))
        .build();
    document.tags = Some(
        TAGS.iter()
            .map(|(name, about)| {
                let mut tag = Tag::new(*name);
                tag.description = Some((*about).to_owned());
                tag
            })
            .collect(),
    );
    let components = document.components.get_or_insert_with(Components::new);
    describe_problems(components);
    for (name, scheme) in [("bearer", HttpAuthScheme::Bearer), ("basic", HttpAuthScheme::Basic)] {
        components.security_schemes.insert(name.to_owned(), RefOr::T(SecurityScheme::Http(Http::new(scheme))));
    }
    for route in table.routes() {
        let Some(item) = document.paths.paths.get_mut(&route.path) else { continue };
        let operation = match route.method.as_str() {
            "GET" => item.get.as_mut(),
            "POST" => item.post.as_mut(),
            "PUT" => item.put.as_mut(),
            "PATCH" => item.patch.as_mut(),
            "DELETE" => item.delete.as_mut(),
            _ => None,
        };
        if let Some(operation) = operation {
            common(operation, route.access, &format!("{} {}", route.method, route.path));
        }
    }
    document
}

fn describe_problems(components: &mut Components) {
    let mut schemas = Vec::new();
    <Problem as ToSchema>::schemas(&mut schemas);
    components.schemas.extend(schemas);
    components.schemas.insert(Problem::name().into_owned(), Problem::schema());
    for (name, about) in PROBLEMS.map(|(_, name, about)| (name, about)) {
        let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
        let mut response = ResponseBuilder::new().description(about).content(CONTENT_TYPE, content);
        if name == "Unauthorized" {
            let header = HeaderBuilder::new().description(Some("How to sign in")).build();
            response = response.header("WWW-Authenticate", header);
        }
        components.responses.insert(name.to_owned(), RefOr::T(response.build()));
    }
}

/// Status, component name, meaning.
const PROBLEMS: [(&str, &str, &str); 9] = [
    ("400", "BadRequest", "The request makes no sense as written; `place` says where."),
    ("401", "Unauthorized", "There is no credential, or it is not valid."),
    ("403", "Forbidden", "You are known, but not allowed; the hints say who can allow it."),
    ("404", "NotFound", "It does not exist, or its existence is not yours to know."),
    ("409", "Conflict", "Somebody else changed it first, or holds it."),
    ("413", "TooLarge", "The request is too much: its body, or the statement's length or depth."),
    ("422", "CheckFailed", "A check or policy did not hold; `diagnostics` lists what."),
    ("500", "ServerFailed", "A bug. The request's id finds the reason in the server's log."),
    ("503", "Unavailable", "The environment failed (disk, network, a source), or a limit of time or memory was met."),
];

fn common(operation: &mut Operation, access: Access, asked: &str) {
    operation.operation_id = Some(operation_id(asked));
    let may_fail: &[&str] = match access {
        Access::Public(_) => &["404", "500", "503"],
        Access::Operator(_) => &["401", "403", "500"],
        Access::Needs(_) => &["400", "401", "403", "404", "500", "503"],
    };
    let takes_body = operation.request_body.is_some();
    for (status, name, _) in PROBLEMS {
        if may_fail.contains(&status) || (takes_body && matches!(status, "409" | "413" | "422")) {
            let entry = operation.responses.responses.entry(status.to_owned());
            entry.or_insert_with(|| RefOr::Ref(Ref::from_response_name(name)));
        }
    }
    for response in operation.responses.responses.values_mut() {
        if let RefOr::T(Response { description, .. }) = response
            && description.is_empty()
        {
            *description = "Done".to_owned();
        }
    }
    operation.security = Some(match access {
        Access::Public(_) => Vec::new(),
        Access::Operator(_) | Access::Needs(_) => {
            ["bearer", "basic"].map(|scheme| SecurityRequirement::new(scheme, Vec::<String>::new())).to_vec()
        }
    });
    if operation.tags.iter().flatten().any(|tag| tag == "data") {
        let headers = [
            ("meshwork-purpose", "Selects among the purposes that you have agreements for"),
            ("meshwork-as", "Acts with the rights of `user:x` or `product:d.p`; administrators only"),
        ];
        let headers = headers.map(|(name, about)| {
            ParameterBuilder::new()
                .name(name)
                .parameter_in(ParameterIn::Header)
                .description(Some(about))
                .required(Required::False)
                .schema(Some(Object::with_type(Type::String)))
                .build()
        });
        operation.parameters.get_or_insert_default().extend(headers.map(RefOr::T));
    }
    let action: ApiAction = access.action();
    let extension =
        utoipa::openapi::extensions::Extensions::builder().add("x-permission", json!(action.name())).build();
    operation.extensions = Some(extension);
}

/// `GET /api/v1/runs/{id}/log` → `get_runs_id_log`: stable and unique, as it is the route itself.
fn operation_id(asked: &str) -> String {
    let words = asked.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    let words: Vec<String> = words.filter(|word| !matches!(*word, "api" | "v1")).map(str::to_lowercase).collect();
    words.join("_")
}
