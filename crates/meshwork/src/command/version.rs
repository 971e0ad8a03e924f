//! `meshwork version`

use meshwork_core::error::Result;
use serde_json::json;

use super::Context;
use crate::exit;

pub fn run(context: &Context) -> Result<u8> {
    let version = env!("CARGO_PKG_VERSION");
    if context.printer.is_for_people() {
        context.printer.line(&format!("meshwork {version}"));
    } else {
        context.printer.item(&json!({"name": "meshwork", "version": version}));
    }
    Ok(exit::OK)
}
