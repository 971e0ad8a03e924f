//! The servers that a user works with, by name: `contexts.json` in the user's folder of settings, readable by its owner only.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use meshwork_core::error::{Error, Result};
use serde::{Deserialize, Serialize};

use crate::config::{Own, own_folder};

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Contexts {
    /// Used where no other is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current: Option<String>,
    #[serde(default)]
    pub contexts: BTreeMap<String, Server>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Server {
    pub server: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// A command whose output is the token; run when one is needed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_command: Option<String>,
    /// PEM file of the authorities that its certificate may come from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_cert: Option<PathBuf>,
}

impl Contexts {
    /// None are known where there is no file yet.
    pub fn read() -> Result<Self> {
        let Ok(path) = path() else { return Ok(Self::default()) };
        match std::fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| {
                Error::environment("MW1054", format!("{} cannot be read: {error}", path.display()))
                    .hint("correct or remove it; `meshwork context add` makes a new one")
            }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(failed(&path, &error)),
        }
    }

    /// Replaces the file whole, so that nobody reads half of it or reads it with a looser mode.
    pub fn write(&self) -> Result<()> {
        use std::io::Write;
        use std::os::unix::fs::DirBuilderExt;
        let path = path()?;
        let io = |error: std::io::Error| failed(&path, &error);
        let folder = path.parent().unwrap_or(&path);
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(io)?;
        // Made with mode 0600.
        let mut draft = tempfile::NamedTempFile::new_in(folder).map_err(io)?;
        let text = serde_json::to_vec_pretty(self).map_err(|error| Error::internal("MW1054", error.to_string()))?;
        draft.write_all(&text).map_err(io)?;
        draft.persist(&path).map(drop).map_err(|error| failed(&path, &error.error))
    }

    pub fn named(&self, name: &str) -> Result<&Server> {
        self.contexts.get(name).ok_or_else(|| {
            let known: Vec<&str> = self.contexts.keys().map(String::as_str).collect();
            let error = Error::not_found("MW1055", format!("there is no context `{}`", name.escape_debug()));
            match known.is_empty() {
                true => error.hint("`meshwork context add NAME URL` makes one"),
                false => error.hint(format!("there are: {}", known.join(", "))),
            }
        })
    }
}

impl Contexts {
    pub fn check_name(name: &str) -> Result<()> {
        if !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || "_-.".contains(c)) {
            return Ok(());
        }
        Err(Error::usage("MW1055", format!("`{}` is not a name for a context", name.escape_debug()))
            .hint("use letters, digits, `-`, `_` and `.`"))
    }

    /// The name of the context that has this server.
    pub fn known_as(&self, server: &str) -> Option<String> {
        let server = server.trim_end_matches('/');
        let mut all = self.contexts.iter();
        all.find(|(_, context)| context.server.trim_end_matches('/') == server).map(|(name, _)| name.clone())
    }

    /// The name of the context that has this server, else one made of its address.
    pub fn name_for(&self, server: &str) -> String {
        self.known_as(server).unwrap_or_else(|| {
            let address = server.split_once("://").map_or(server, |(_, address)| address);
            let letters = address.chars().map(|c| if c.is_alphanumeric() || c == '.' { c } else { '-' });
            letters.collect::<String>().trim_matches('-').to_owned()
        })
    }
}

fn path() -> Result<PathBuf> {
    let folder = own_folder(Own::Config).ok_or_else(|| {
        Error::environment("MW1054", "there is no folder for settings").hint("set HOME or XDG_CONFIG_HOME")
    })?;
    Ok(folder.join("contexts.json"))
}

fn failed(path: &Path, error: &std::io::Error) -> Error {
    Error::environment("MW1054", format!("{}: {error}", path.display()))
}

/// What a command prints, without its line end.
pub fn token_from(command: &str) -> Result<String> {
    let failed = |why: String| {
        Error::unauthenticated("MW1056", format!("the command for the token failed: {why}"))
            .hint("run it by hand; `meshwork context add` changes it")
    };
    let output = std::process::Command::new("sh")
        .args(["-c", command])
        .stdin(std::process::Stdio::inherit())
        .stderr(std::process::Stdio::inherit())
        .output()
        .map_err(|error| failed(error.to_string()))?;
    let token = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    match (output.status.success(), token.is_empty()) {
        (false, _) => Err(failed(output.status.to_string())),
        (true, true) => Err(failed("it printed nothing".to_owned())),
        (true, false) => Ok(token),
    }
}
