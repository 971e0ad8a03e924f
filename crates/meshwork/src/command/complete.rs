//! `meshwork completions SHELL`, `meshwork man`

use std::path::{Path, PathBuf};

use clap::{Args, CommandFactory, ValueEnum};
use clap_complete::engine::CompletionCandidate;
use clap_complete::env::Shells;
use meshwork_core::error::{Error, Result};

use super::{Cli, Context};
use crate::{config, exit};

/// The variable by which a shell asks this binary what can come next.
const ASKED: &str = "COMPLETE";

/// Answers a shell that asks for completions, and ends the process then.
pub fn answer() {
    clap_complete::CompleteEnv::with_factory(Cli::command).var(ASKED).complete();
}

#[derive(Debug, Args)]
pub struct Completions {
    #[arg(value_enum)]
    shell: Shell,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Shell {
    Bash,
    Elvish,
    Fish,
    #[value(name = "powershell")]
    Power,
    Zsh,
}

impl Completions {
    /// A script that asks this binary, so that it also knows the products of the mesh at hand.
    pub fn run(&self, context: &Context) -> Result<u8> {
        let name = self.shell.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default();
        let failed = |why: String| Error::internal("MW1002", format!("the script cannot be made: {why}"));
        let shells = Shells::builtins();
        let shell = shells.completer(&name).ok_or_else(|| failed(format!("`{name}` is not known")))?;
        let mut script = Vec::new();
        shell
            .write_registration(ASKED, "meshwork", "meshwork", "meshwork", &mut script)
            .map_err(|error| failed(error.to_string()))?;
        context.printer.bytes(&script);
        Ok(exit::OK)
    }
}

/// `domain.product` of the mesh folder at hand, by the names of its folders.
pub fn products() -> Vec<CompletionCandidate> {
    let mut found: Vec<String> = Vec::new();
    let Some(root) = config::nearest_mesh() else { return Vec::new() };
    for domain in folders(&root.join("domains")) {
        let name = |path: &Path| path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        found.push(name(&domain));
        for product in folders(&domain).iter().filter(|folder| folder.join("product.yaml").is_file()) {
            found.push(format!("{}.{}", name(&domain), name(product)));
        }
    }
    found.into_iter().map(CompletionCandidate::new).collect()
}

fn folders(path: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = std::fs::read_dir(path)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.is_dir())
        .collect();
    found.sort();
    found
}

#[derive(Debug, Args)]
pub struct Man {
    /// The page of this command instead of the whole
    #[arg(conflicts_with = "folder")]
    command: Option<String>,
    /// Write the pages of all commands into this folder
    #[arg(long = "dir", value_name = "DIR")]
    folder: Option<PathBuf>,
}

impl Man {
    pub fn run(&self, context: &Context) -> Result<u8> {
        let root = Cli::command();
        let failed = |error: std::io::Error| Error::environment("MW1002", format!("the page cannot be made: {error}"));
        if let Some(folder) = &self.folder {
            std::fs::create_dir_all(folder).map_err(failed)?;
            clap_mangen::generate_to(root, folder).map_err(failed)?;
            return Ok(exit::OK);
        }
        let command = match &self.command {
            None => root,
            Some(name) => {
                let found = root.get_subcommands().find(|c| c.get_name() == name && !c.is_hide_set()).cloned();
                let page = format!("meshwork-{name}");
                found.map(|c| c.name(page)).ok_or_else(|| {
                    Error::not_found("MW1002", format!("there is no command `{}`", name.escape_debug()))
                })?
            }
        };
        let mut page = Vec::new();
        clap_mangen::Man::new(command).render(&mut page).map_err(failed)?;
        context.printer.bytes(&page);
        Ok(exit::OK)
    }
}
