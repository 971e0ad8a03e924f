//! Settings, validated once. The only module that reads the environment.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use meshwork_core::error::{Error, Result};
use meshwork_core::limits::{self, MeshLimits};
use meshwork_core::sample::Sample;

use crate::command::Global;
use crate::contexts::{Contexts, Server};
use crate::output::{Color, Format};

/// What every command works with.
#[derive(Clone, Debug)]
pub struct Config {
    /// The mesh folder, absolute.
    pub folder: PathBuf,
    /// As `-C` named it.
    given: Option<PathBuf>,
    pub server: Option<String>,
    /// The context that named it.
    pub context: Option<String>,
    pub token: Option<String>,
    /// The part of it that does not come from a context.
    pub token_given: Option<String>,
    /// Prints the token, where that is not known.
    pub token_command: Option<String>,
    /// Certificates of authorities that the server's may come from.
    pub authority: Option<PathBuf>,
    pub act_as: Option<String>,
    /// What queries and runs of this process may use at most.
    pub limits: MeshLimits,
    /// How much of each source runs read; all unless given.
    pub sample: Option<Sample>,
    /// Where secrets lie, if not beside the state.
    pub secrets: Option<PathBuf>,
    pub format: Option<Format>,
    pub color: bool,
    pub quiet: bool,
    pub verbose: u8,
    pub no_input: bool,
    pub faults: FaultPoints,
    /// How long to wait for another process to let go of the state.
    pub lock_patience: Duration,
    pub log_filter: Option<String>,
    /// Where the shell keeps what was typed.
    pub history: Option<PathBuf>,
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
        let context = chosen(global, env("MESHWORK_SERVER"), env("MESHWORK_CONTEXT"))?;
        let authority = global.ca_cert.clone().or_else(|| env("MESHWORK_CA_CERT").map(PathBuf::from));
        let authority = authority.or_else(|| context.as_ref().and_then(|(_, context)| context.ca_cert.clone()));
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
            server: global
                .server
                .clone()
                .or_else(|| context.as_ref().map(|(_, context)| context.server.clone()))
                .or_else(|| env("MESHWORK_SERVER")),
            context: context.as_ref().map(|(name, _)| name.clone()),
            token_command: context.as_ref().and_then(|(_, context)| context.token_command.clone()),
            token_given: token.clone(),
            token: token.or_else(|| context.and_then(|(_, context)| context.token)),
            authority,
            act_as: global.act_as.clone(),
            limits: limits_of(&global.limits, env("MESHWORK_LIMITS"))?,
            sample: None,
            secrets: None,
            format: global.output,
            color,
            quiet: global.quiet,
            verbose: global.verbose,
            no_input: global.no_input,
            faults: FaultPoints { own: env("MESHWORK_FAULT"), child: env("MESHWORK_RUN_FAULT") },
            lock_patience: Duration::from_millis(300),
            log_filter: env("MESHWORK_LOG"),
            history: own_folder(Own::State).map(|folder| folder.join("history")),
        })
    }

    /// Where a mesh keeps its state, unless told otherwise.
    pub fn state_folder(&self) -> PathBuf {
        self.folder.join(".meshwork")
    }
}

/// The context that was named, else the current one; none where a server was named.
fn chosen(global: &Global, server: Option<String>, context: Option<String>) -> Result<Option<(String, Server)>> {
    if global.server.is_some() || (server.is_some() && global.context.is_none()) {
        return Ok(None);
    }
    let contexts = Contexts::read()?;
    match global.context.clone().or(context).or_else(|| contexts.current.clone()) {
        Some(name) => contexts.named(&name).cloned().map(|server| Some((name, server))),
        None => Ok(None),
    }
}

/// What the options say, and the variable for what they leave open.
fn limits_of(options: &[String], variable: Option<String>) -> Result<MeshLimits> {
    let read = |text: &str| {
        limits::settings(text).map_err(|why| Error::usage("MW1068", why).hint("`meshwork explain MW1068` lists them"))
    };
    let (options, variable) = (read(&options.join(","))?, read(&variable.unwrap_or_default())?);
    Ok(MeshLimits { query: options.query.or(variable.query), run: options.run.or(variable.run) })
}

/// The first line; `-` is standard input.
fn token_in(path: &Path) -> Result<String> {
    let text = match path.as_os_str() == "-" {
        true => std::io::read_to_string(std::io::stdin()),
        false => std::fs::read_to_string(path),
    };
    let text = text.map_err(|error| {
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

/// The mesh folder that a command without `-C` would work on, if there is one.
#[allow(clippy::disallowed_methods, reason = "the one place where the environment is read")]
pub fn nearest_mesh() -> Option<PathBuf> {
    let folder = mesh_folder(std::env::var_os("MESHWORK_DIR").map(PathBuf::from)).ok()?;
    folder.join("mesh.yaml").is_file().then_some(folder)
}

/// The environment that a run's process gets: nothing but its own domain's secrets (D11, D27).
pub fn secrets_of(domain: &str) -> Vec<(OsString, OsString)> {
    secrets_with_prefix(&format!("MW_SECRET_{}_", domain.to_ascii_uppercase()))
}

#[allow(clippy::disallowed_methods, reason = "the one place where the environment is read")]
fn secrets_with_prefix(prefix: &str) -> Vec<(OsString, OsString)> {
    std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with(prefix)).collect()
}

/// Every secret that the environment holds, by its name in capitals: in a run's process, those that it was given.
pub fn secrets() -> std::collections::BTreeMap<String, String> {
    let known = secrets_with_prefix("MW_SECRET_").into_iter();
    known
        .filter_map(|(name, value)| Some((name.into_string().ok()?.to_ascii_uppercase(), value.into_string().ok()?)))
        .collect()
}

/// What AWS' own tools take from the environment, for commands that a person runs: `AWS_<name>`.
#[allow(clippy::disallowed_methods, reason = "the one place where the environment is read")]
pub fn aws(name: &str) -> Option<String> {
    std::env::var(format!("AWS_{name}")).ok().filter(|value| !value.is_empty())
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

    /// The authorities' file as it is found from every folder.
    pub fn absolute_authority(&self) -> Result<Option<PathBuf>> {
        let absolute = |path: &PathBuf| {
            std::path::absolute(path)
                .map_err(|error| Error::environment("MW1011", format!("{}: {error}", path.display())))
        };
        self.authority.as_ref().map(absolute).transpose()
    }

    /// The same settings for another mesh folder, worked on directly.
    pub fn at(&self, folder: &Path) -> Self {
        let folder = folder.to_path_buf();
        let (server, context, token, token_given, token_command) = (None, None, None, None, None);
        Self { folder, server, context, token, token_given, token_command, ..self.clone() }
    }
}

/// Certificate and key of a server's ports.
#[allow(clippy::disallowed_methods, reason = "the one place where the environment is read")]
pub fn tls() -> Option<(PathBuf, PathBuf)> {
    let file = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    file("MESHWORK_TLS_CERT").zip(file("MESHWORK_TLS_KEY"))
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

/// Folders of the user, as the XDG base directories name them.
#[derive(Clone, Copy, Debug)]
pub enum Own {
    Config,
    State,
}

#[allow(clippy::disallowed_methods, reason = "the one place where the environment is read")]
pub fn own_folder(which: Own) -> Option<PathBuf> {
    let (variable, below_home) = match which {
        Own::Config => ("XDG_CONFIG_HOME", ".config"),
        Own::State => ("XDG_STATE_HOME", ".local/state"),
    };
    let absolute = |path: PathBuf| Some(path).filter(|path| path.is_absolute());
    let named = std::env::var_os(variable).map(PathBuf::from).and_then(absolute);
    let base = named.or_else(|| Some(absolute(PathBuf::from(std::env::var_os("HOME")?))?.join(below_home)))?;
    Some(base.join("meshwork"))
}

/// Opens a file to append to that only its owner may read, in a folder of the same kind. Both are made where they are
/// missing, and an existing file's mode is set right.
pub fn private_file(path: &Path) -> std::io::Result<std::fs::File> {
    use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
    if let Some(folder) = path.parent() {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    let file = std::fs::OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
    file.set_permissions(std::fs::Permissions::from_mode(0o600))?;
    Ok(file)
}
