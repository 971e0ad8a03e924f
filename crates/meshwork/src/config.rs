//! Settings, validated once. The only module that reads the environment.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use meshwork_core::error::{Error, Result};

use crate::command::Global;
use crate::output::{Color, Format};

/// What every command works with.
#[derive(Clone, Debug)]
pub struct Config {
    /// The mesh folder, absolute.
    pub folder: PathBuf,
    /// As `-C` named it.
    given: Option<PathBuf>,
    pub server: Option<String>,
    pub token: Option<String>,
    pub act_as: Option<String>,
    pub format: Option<Format>,
    pub color: bool,
    pub quiet: bool,
    pub verbose: u8,
    pub no_input: bool,
    pub faults: FaultPoints,
    /// How long to wait for another process to let go of the state.
    pub lock_patience: Duration,
    pub log_filter: Option<String>,
}

/// Named steps at which tests stop a process.
#[derive(Clone, Debug, Default)]
pub struct FaultPoints {
    /// In this process.
    pub own: Option<String>,
    /// In the child process of a run.
    pub child: Option<String>,
}

impl Config {
    #[allow(clippy::disallowed_methods, reason = "the one place where the environment is read")]
    pub fn read(global: &Global) -> Result<Self> {
        let env = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let folder = global.directory.clone().or_else(|| env("MESHWORK_DIR").map(PathBuf::from));
        let given = folder.clone();
        let folder = mesh_folder(folder)?;
        let token = match (&global.token, &global.token_file) {
            (Some(token), _) => Some(token.clone()),
            (None, Some(path)) => Some(token_in(path)?),
            (None, None) => match (env("MESHWORK_TOKEN"), env("MESHWORK_TOKEN_FILE")) {
                (Some(token), _) => Some(token),
                (None, Some(path)) => Some(token_in(Path::new(&path))?),
                (None, None) => None,
            },
        };
        let color = match global.color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => {
                use std::io::IsTerminal;
                env("NO_COLOR").is_none()
                    && env("TERM").as_deref() != Some("dumb")
                    && std::io::stdout().is_terminal()
                    && std::io::stderr().is_terminal()
            }
        };
        Ok(Self {
            folder,
            given,
            server: global.server.clone().or_else(|| env("MESHWORK_SERVER")),
            token,
            act_as: global.act_as.clone(),
            format: global.output,
            color,
            quiet: global.quiet,
            verbose: global.verbose,
            no_input: global.no_input,
            faults: FaultPoints { own: env("MESHWORK_FAULT"), child: env("MESHWORK_RUN_FAULT") },
            lock_patience: Duration::from_millis(300),
            log_filter: env("MESHWORK_LOG"),
        })
    }

    /// Where a mesh keeps its state, unless told otherwise.
    pub fn state_folder(&self) -> PathBuf {
        self.folder.join(".meshwork")
    }
}

fn token_in(path: &Path) -> Result<String> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        Error::environment("MW1005", format!("the token file {} cannot be read: {error}", path.display()))
    })?;
    let token = text.trim().to_owned();
    if token.is_empty() {
        return Err(Error::usage("MW1005", format!("the token file {} is empty", path.display())));
    }
    Ok(token)
}

/// The given folder; else the nearest one upwards that holds `mesh.yaml`; else the current one.
fn mesh_folder(given: Option<PathBuf>) -> Result<PathBuf> {
    let start = given.clone().unwrap_or_else(|| PathBuf::from("."));
    let absolute = std::path::absolute(&start)
        .map_err(|error| Error::environment("MW1004", format!("the folder {} : {error}", start.display())))?;
    if given.is_some() {
        return Ok(absolute);
    }
    let found = absolute.ancestors().find(|folder| folder.join("mesh.yaml").is_file());
    Ok(found.map(Path::to_path_buf).unwrap_or(absolute))
}

/// The environment that a run's process gets: nothing but its own domain's secrets (D11, D27).
#[allow(clippy::disallowed_methods, reason = "the one place where the environment is read")]
pub fn secrets_of(domain: &str) -> Vec<(OsString, OsString)> {
    let prefix = format!("MW_SECRET_{}_", domain.to_ascii_uppercase());
    std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with(&prefix)).collect()
}

/// What the child of a run is told by its environment.
#[derive(Clone, Debug, Default)]
pub struct ChildSettings {
    pub fault: Option<String>,
    /// Where to spill and keep temporary files.
    pub temporary: Option<PathBuf>,
    /// A folder of secrets: `<domain>/<name>`.
    pub secrets: Option<PathBuf>,
}

pub const CHILD_FAULT: &str = "MESHWORK_RUN_FAULT";
pub const CHILD_SECRETS: &str = "MESHWORK_SECRETS";
pub const CHILD_TEMPORARY: &str = "TMPDIR";

impl ChildSettings {
    #[allow(clippy::disallowed_methods, reason = "the one place where the environment is read")]
    pub fn read() -> Self {
        Self {
            fault: std::env::var(CHILD_FAULT).ok().filter(|value| !value.is_empty()),
            temporary: std::env::var_os(CHILD_TEMPORARY).map(PathBuf::from),
            secrets: std::env::var_os(CHILD_SECRETS).map(PathBuf::from),
        }
    }
}

impl Config {
    /// Where `init` makes a folder: relative to `-C`, if that was given.
    pub fn folder_for_new(&self, folder: &Path) -> Result<PathBuf> {
        let path = match &self.given {
            Some(given) => given.join(folder),
            None => folder.to_path_buf(),
        };
        let absolute = std::path::absolute(&path)
            .map_err(|error| Error::environment("MW1004", format!("the folder {}: {error}", path.display())))?;
        // Without the `.` that a default leaves at the end.
        Ok(absolute.components().collect())
    }

    /// The same settings for another mesh folder, worked on directly.
    pub fn at(&self, folder: &Path) -> Self {
        Self { folder: folder.to_path_buf(), server: None, token: None, ..self.clone() }
    }
}

/// A new folder for things that nobody needs to find again.
pub fn temporary_folder(name: &str) -> PathBuf {
    std::env::temp_dir().join(name)
}

/// Where a program is found, as a shell would.
#[allow(clippy::disallowed_methods, reason = "the one place where the environment is read")]
pub fn on_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file())
}
