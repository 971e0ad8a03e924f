//! `meshwork whoami`

use meshwork_core::error::Result;

use super::Context;
use crate::client::Call;
use crate::exit;

pub async fn run(context: &Context) -> Result<u8> {
    context.printer.item(&context.client().await?.json(Call::get("whoami")).await?);
    Ok(exit::OK)
}
