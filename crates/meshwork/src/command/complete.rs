//! `meshwork completions SHELL`, `meshwork man`

use clap::{Args, CommandFactory};
use meshwork_core::error::{Error, Result};

use super::{Cli, Context};
use crate::exit;

#[derive(Debug, Args)]
pub struct Completions {
    #[arg(value_enum)]
    shell: clap_complete::Shell,
}

impl Completions {
    pub fn run(&self) -> Result<u8> {
        clap_complete::generate(self.shell, &mut Cli::command(), "meshwork", &mut std::io::stdout());
        Ok(exit::OK)
    }
}

#[derive(Debug, Args)]
pub struct Man {
    /// The page of this command instead of the whole
    command: Option<String>,
}

impl Man {
    pub fn run(&self, context: &Context) -> Result<u8> {
        let root = Cli::command();
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
        clap_mangen::Man::new(command)
            .render(&mut page)
            .map_err(|error| Error::internal("MW1002", format!("the page cannot be made: {error}")))?;
        context.printer.bytes(&page);
        Ok(exit::OK)
    }
}
