//! `meshwork schema print KIND`

use clap::{Args, Subcommand, ValueEnum};
use meshwork_core::error::Result;
use meshwork_core::manifest;

use super::Context;
use crate::exit;

#[derive(Debug, Args)]
pub struct Schema {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// The JSON Schema of one kind of file
    Print {
        #[arg(value_enum)]
        kind: Kind,
    },
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Kind {
    Mesh,
    Domain,
    Product,
    Classifications,
    Contract,
    Test,
}

impl Schema {
    pub fn run(&self, context: &Context) -> Result<u8> {
        let What::Print { kind } = self.what;
        let schema = manifest::schema(match kind {
            Kind::Mesh => manifest::Kind::Mesh,
            Kind::Domain => manifest::Kind::Domain,
            Kind::Product => manifest::Kind::Product,
            Kind::Classifications => manifest::Kind::Classifications,
            Kind::Contract => manifest::Kind::Contract,
            Kind::Test => manifest::Kind::Test,
        });
        context.printer.line(&serde_json::to_string_pretty(&schema).unwrap_or_else(|_| schema.to_string()));
        Ok(exit::OK)
    }
}
