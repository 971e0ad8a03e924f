//! The long explanation of an error code: where a problem's `type` leads.

use axum::Json;
use axum::extract::Path;
use meshwork_core::codes;
use meshwork_core::permission::{self, ApiAction};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::routes;

use crate::http::problem::Answer;
use crate::http::table::{Access, Routes};

pub fn routes() -> Routes {
    Routes::new().on(Access::Public(ApiAction::ReadApiDescription), routes!(read))
}

#[derive(Debug, Serialize, ToSchema)]
struct ProblemCode {
    #[schema(example = "MW0928")]
    code: &'static str,
    title: &'static str,
    /// Markdown: why it is an error and how to fix it. The same as `meshwork explain CODE`.
    help: &'static str,
}

/// What an error code means, and what to do about it.
#[utoipa::path(get, path = "/api/problems/{code}", tag = "operations",
    params(("code" = String, Path, description = "Such as MW0928", example = "MW0928")),
    responses((status = 200, body = ProblemCode)))]
async fn read(Path(code): Path<String>) -> Answer<Json<ProblemCode>> {
    let called = format!("error code `{}`", code.escape_debug());
    let info = codes::find(&code).ok_or_else(|| permission::unknown(&called))?;
    Ok(Json(ProblemCode { code: info.code, title: info.title, help: info.help }))
}
