//! `meshwork domain|product|contract list|show`

use std::collections::BTreeSet;

use clap::{Args, Subcommand};
use meshwork_core::error::{Error, Result};
use meshwork_core::suggestion;

use super::Context;
use super::verify::Test;
use crate::client::{Call, encoded};
use crate::exit;
use crate::output::{Column, column};

#[derive(Debug, Args)]
pub struct Domain {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Args)]
pub struct Product {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Args)]
pub struct Contract {
    #[command(subcommand)]
    what: OfContract,
}

#[derive(Debug, Subcommand)]
enum OfContract {
    /// All that you may know of
    List,
    /// One, with its parts
    Show {
        /// `domain.output` or `domain.output_v2`
        name: String,
    },
    /// Hold data against a contract: files, a database, or a product; no mesh is needed
    Test(Box<Test>),
}

#[derive(Debug, Subcommand)]
enum What {
    /// All that you may know of
    List,
    /// One, with its parts
    Show {
        /// `domain`, `domain.product`; for a contract `domain.output` or `domain.output_v2`
        name: String,
    },
}

impl Domain {
    pub async fn run(self, context: &Context) -> Result<u8> {
        let columns = [
            column("name", "name"),
            column("owner", "owner"),
            column("products", "products"),
            column("description", "description"),
        ];
        list_or_show(context, self.what, "domains", &columns, |name| Ok(format!("domains/{}", encoded(name)))).await
    }
}

impl Product {
    pub async fn run(self, context: &Context) -> Result<u8> {
        let columns = [
            column("domain", "domain"),
            column("product", "name"),
            column("version", "version"),
            column("status", "status"),
            column("tables", "tables"),
            column("description", "description"),
        ];
        list_or_show(context, self.what, "products", &columns, |name| {
            let (domain, product) = parts(name)?;
            Ok(format!("products/{}/{}", encoded(domain), encoded(product)))
        })
        .await
    }
}

impl Contract {
    pub async fn run(self, context: &Context) -> Result<u8> {
        let columns = [
            column("domain", "domain"),
            column("output", "output"),
            column("major", "major"),
            column("contract", "name"),
            column("version", "version"),
            column("dialect", "dialect"),
        ];
        let what = match self.what {
            OfContract::Test(test) => return test.run(context).await,
            OfContract::List => What::List,
            OfContract::Show { name } => What::Show { name },
        };
        if let What::Show { name } = &what {
            let (domain, output) = parts(name)?;
            let client = context.client().await?;
            let (output, major) = match meshwork_core::name::split_major(output) {
                Some((output, major)) => (output, major),
                None => (output, newest_major(&client.all("contracts").await?, domain, output, name)?),
            };
            let call = Call::get(format!("contracts/{}/{}/{major}", encoded(domain), encoded(output)));
            context.printer.item(&client.json(call).await?);
            return Ok(exit::OK);
        }
        list_or_show(context, what, "contracts", &columns, |name| Ok(name.to_owned())).await
    }
}

fn newest_major(contracts: &[serde_json::Value], domain: &str, output: &str, name: &str) -> Result<u32> {
    let of = |c: &&serde_json::Value| c["domain"] == *domain && c["output"] == *output;
    let majors = contracts.iter().filter(of).filter_map(|c| c["major"].as_u64());
    majors.max().and_then(|major| u32::try_from(major).ok()).ok_or_else(|| {
        let error =
            Error::not_found("MW1012", format!("there is no contract of `{}` that you may see", name.escape_debug()));
        let named = |c: &serde_json::Value| Some(format!("{}.{}", c["domain"].as_str()?, c["output"].as_str()?));
        let all: BTreeSet<String> = contracts.iter().filter_map(named).collect();
        // Of the same domain first: the name of a product is not always that of its outputs.
        let near: Vec<&str> =
            all.iter().map(String::as_str).filter(|known| known.starts_with(&format!("{domain}."))).collect();
        let known = if near.is_empty() { all.iter().map(String::as_str).collect() } else { near };
        match suggestion::hint(name, known) {
            Some(hint) => error.hint(hint),
            None => error,
        }
    })
}

fn parts(name: &str) -> Result<(&str, &str)> {
    name.split_once('.').ok_or_else(|| {
        Error::usage("MW1012", format!("`{}` is not `domain.name`", name.escape_debug()))
            .hint("write the domain, a dot, and the name")
    })
}

async fn list_or_show(
    context: &Context,
    what: What,
    list: &str,
    columns: &[Column],
    path: impl Fn(&str) -> Result<String>,
) -> Result<u8> {
    let client = context.client().await?;
    match what {
        What::List => context.printer.list(&client.all(list).await?, columns),
        What::Show { name } => context.printer.item(&client.json(Call::get(path(&name)?)).await?),
    }
    Ok(exit::OK)
}
