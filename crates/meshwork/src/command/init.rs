//! `meshwork init`, `meshwork new domain|product|contract`

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};
use meshwork_core::error::{Error, Result};
use meshwork_core::name::{Name, TeamName};
use meshwork_core::scaffold::{self, File};

use super::Context;
use super::from::{self, Source};
use crate::{compose, example, exit};

#[derive(Debug, Args)]
pub struct Init {
    /// Where [default: here]
    #[arg(default_value = ".")]
    folder: PathBuf,
    #[arg(long, value_enum, default_value_t, conflicts_with = "from")]
    template: Template,
    #[command(flatten)]
    source: Source,
    /// With --from: what the domain is called [default: after the source]
    #[arg(long, value_name = "NAME", requires = "from")]
    domain: Option<String>,
    /// With --from: what the product is called [default: after the source]
    #[arg(long, value_name = "NAME", requires = "from")]
    product: Option<String>,
    /// Size of the example's data, as a factor
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1000))]
    scale: u32,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum Template {
    /// Five domains with data
    Acme,
    #[default]
    Empty,
}

impl Init {
    pub fn run(&self, context: &Context) -> Result<u8> {
        // `-C DIR init` and `init DIR` mean the same.
        let folder = context.config.folder_for_new(&self.folder)?;
        if folder.join("mesh.yaml").exists() {
            return Err(Error::conflict("MW1023", format!("{} is a mesh folder already", folder.display())));
        }
        let name = folder.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if let Some(from) = &self.source.from {
            let given = |name: &Option<String>| name.as_deref().map(named).transpose();
            let (domain, product) = (given(&self.domain)?, given(&self.product)?);
            super::block_on(context, async {
                from::init(context, &self.source, from, &folder, &proposed(&name), domain, product).await?;
                Ok(exit::OK)
            })?;
            context.printer.note(&format!("a mesh is in {}", folder.display()));
            return Ok(exit::OK);
        }
        match self.template {
            Template::Acme => example::write(&folder, self.scale)?,
            Template::Empty => {
                write_new(&folder, &scaffold::mesh(&proposed(&name)))?;
            }
        }
        context.printer.note(&format!("a mesh is in {}", folder.display()));
        context.printer.note("next: `meshwork new domain NAME`, `meshwork check`, `meshwork apply`");
        Ok(exit::OK)
    }
}

/// A folder's name as a name of ours.
fn proposed(text: &str) -> Name {
    let plain: String =
        text.to_ascii_lowercase().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    let trimmed = plain.trim_matches('_').trim_start_matches(|c: char| c.is_ascii_digit() || c == '_');
    let cut: String = trimmed.chars().take(63).collect();
    Name::new(cut).unwrap_or_else(|_| Name::new("mesh").expect("a fixed name"))
}

#[derive(Debug, Args)]
pub struct New {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    Domain {
        name: String,
        /// The team that owns it [default: NAME_team]
        #[arg(long)]
        owner: Option<String>,
    },
    /// A product with a contract, its SQL and a source
    Product {
        /// `domain.product`
        name: String,
        #[command(flatten)]
        source: Source,
    },
    /// Another contract in a product's folder
    Contract {
        /// `domain.product.contract`
        name: String,
    },
}

impl New {
    pub fn run(&self, context: &Context) -> Result<u8> {
        let folder = compose::mesh_folder(&context.config)?;
        let files = match &self.what {
            What::Domain { name, owner } => {
                let domain = named(name)?;
                let owner = match owner {
                    Some(owner) => team(owner)?,
                    None => team(&format!("{name}_team"))?,
                };
                scaffold::domain(&domain, &owner)
            }
            What::Product { name, source } => {
                let [domain, product] = parts(name, "domain.product")?;
                existing(&folder, &format!("domains/{domain}/domain.yaml"), &format!("new domain {domain}"))?;
                if let Some(from) = &source.from {
                    return super::block_on(context, async {
                        from::product(context, source, from, &folder, domain, product).await?;
                        Ok(exit::OK)
                    });
                }
                scaffold::product(&domain, &product)
            }
            What::Contract { name } => {
                let [domain, product, contract] = parts(name, "domain.product.contract")?;
                let manifest = format!("domains/{domain}/{product}/product.yaml");
                existing(&folder, &manifest, &format!("new product {domain}.{product}"))?;
                scaffold::contract(&domain, &product, &contract)
            }
        };
        write_new(&folder, &files)?;
        for (path, _) in &files {
            context.printer.note(&format!("wrote {path}"));
        }
        Ok(exit::OK)
    }
}

fn named(text: &str) -> Result<Name> {
    Name::new(text).map_err(|problem| Error::usage("MW1024", problem.to_string()))
}

fn team(text: &str) -> Result<TeamName> {
    TeamName::new(text).map_err(|problem| Error::usage("MW1024", problem.to_string()))
}

fn parts<const N: usize>(text: &str, shape: &str) -> Result<[Name; N]> {
    let names = text.split('.').map(named).collect::<Result<Vec<_>>>()?;
    names.try_into().map_err(|_| Error::usage("MW1024", format!("`{}` is not `{shape}`", text.escape_debug())))
}

fn existing(folder: &Path, file: &str, command: &str) -> Result<()> {
    if folder.join(file).is_file() {
        return Ok(());
    }
    Err(Error::not_found("MW1025", format!("there is no {file}")).hint(format!("`meshwork {command}` makes it")))
}

/// Writes files that must not exist yet: all of them, or none.
pub fn write_new(folder: &Path, files: &[File]) -> Result<()> {
    if let Some((path, _)) = files.iter().find(|(path, _)| folder.join(path).exists()) {
        return Err(Error::conflict("MW1023", format!("{path} exists already; nothing was written")));
    }
    files.iter().try_for_each(|(path, text)| write(&folder.join(path), text))
}

pub fn write(path: &Path, text: &str) -> Result<()> {
    let io = |error: std::io::Error| Error::environment("MW1026", format!("{}: {error}", path.display()));
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).map_err(io)?;
    }
    std::fs::write(path, text).map_err(io)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folder_names_become_names() {
        assert_eq!(proposed("My Mesh-2"), "my_mesh_2");
        assert_eq!(proposed("2024"), "mesh");
        assert_eq!(proposed("é"), "mesh");
        assert_eq!(proposed("_a"), "a");
    }

    #[test]
    fn all_files_or_none() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("b"), "old").unwrap();
        let files = [("a".to_owned(), "new".to_owned()), ("b".to_owned(), "new".to_owned())];
        assert_eq!(write_new(folder.path(), &files).unwrap_err().code, "MW1023");
        assert!(!folder.path().join("a").exists());
    }
}
