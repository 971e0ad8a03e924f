//! `meshwork publications list|show`

use clap::{Args, Subcommand};
use meshwork_core::error::Result;

use super::Context;
use crate::client::{Call, encoded};
use crate::exit;
use crate::output::column;

#[derive(Debug, Args)]
pub struct Publications {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Newest first
    List {
        /// Only of this product (`domain.product`)
        product: Option<String>,
    },
    Show {
        id: String,
    },
}

impl Publications {
    pub async fn run(self, context: &Context) -> Result<u8> {
        let client = context.client().await?;
        match self.what {
            What::List { product } => {
                let query = product.map(|product| format!("?product={}", encoded(&product))).unwrap_or_default();
                let columns = [
                    column("id", "id"),
                    column("product", "product"),
                    column("at", "at"),
                    column("run", "run"),
                    column("table", "outputs.0.table"),
                    column("rows", "outputs.0.rows"),
                ];
                context.printer.list(&client.all(&format!("publications{query}")).await?, &columns);
            }
            What::Show { id } => {
                context.printer.item(&client.json(Call::get(format!("publications/{}", encoded(&id)))).await?);
            }
        }
        Ok(exit::OK)
    }
}
