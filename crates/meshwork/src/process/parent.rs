//! Starting the process of a run and talking with it: spec and `commit` on its stdin, events on its stdout.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;

use async_trait::async_trait;
use meshwork_control::port::data::{RunEvent, RunSpec, StorageSpec};
use meshwork_control::port::process::{RunChild, RunProcess};
use meshwork_core::error::{Error, Result};
use meshwork_core::id::MeshId;
use meshwork_engine::source::Secrets;
use meshwork_engine::storage::Stores;
use meshwork_store::claim_root;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};

use crate::config;

/// Longer lines than this are cut: a child must not fill our memory.
const LINE_LIMIT: usize = 16 << 20;

/// Starts this binary again as `meshwork __run`.
#[derive(Clone, Debug)]
pub struct SelfProcess {
    pub program: PathBuf,
    /// Each child gets a folder of its own below it.
    pub temporary: PathBuf,
    pub secrets: PathBuf,
    pub fault: Option<String>,
    /// Storage roots are claimed for it before anything is written there.
    pub mesh: MeshId,
    pub stores: Arc<Stores>,
}

#[async_trait]
impl RunProcess for SelfProcess {
    async fn start(&self, spec: &RunSpec) -> Result<Box<dyn RunChild>> {
        for output in &spec.outputs {
            let root = &output.location.root;
            match url::Url::parse(root).ok().and_then(|url| url.to_file_path().ok()) {
                Some(path) => claim_root(&path, &self.mesh)?,
                None => self.stores.claim(root, self.mesh.as_str()).await?,
            }
        }
        let folder = Folder::create(self.temporary.join(format!("run-{}", spec.run)))?;
        let mut command = Command::new(&self.program);
        command.arg("__run").env_clear().env(config::CHILD_TEMPORARY, &folder.0).current_dir(&folder.0);
        command.envs(config::secrets_of(spec.product.split('.').next().unwrap_or_default()));
        // Those of other namespaces that its tables' storage needs, and no others of these.
        let known = config::secrets();
        for StorageSpec { root, .. } in &spec.storage {
            let references = root.storage.connection.references();
            let names = references.filter_map(|reference| Secrets::variable(&root.namespace, reference));
            command.envs(names.filter_map(|name| known.get_key_value(&name)));
        }
        if self.secrets.is_dir() {
            command.env(config::CHILD_SECRETS, &self.secrets);
        }
        if let Some(fault) = &self.fault {
            command.env(config::CHILD_FAULT, fault);
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        // Its own group: Ctrl-C in a terminal reaches us alone, and killing it takes along whatever it started.
        command.process_group(0);
        let mut child = command.spawn().map_err(|error| not_started(&error))?;
        let (Some(mut stdin), Some(stdout), Some(stderr)) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err(Error::internal("MW0664", "the run's process has no pipes"));
        };
        let mut line = serde_json::to_vec(spec)
            .map_err(|error| Error::internal("MW0665", format!("the run's spec cannot be written: {error}")))?;
        line.push(b'\n');
        // It may die before it has read everything; how it ended says more than the broken pipe.
        let _ = stdin.write_all(&line).await;
        let _ = stdin.flush().await;
        Ok(Box::new(Running {
            group: child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw),
            child,
            stdin: Some(stdin),
            stdout: Some(BufReader::new(stdout).lines()),
            stderr: Some(BufReader::new(stderr).lines()),
            _folder: folder,
        }))
    }
}

fn not_started(error: &std::io::Error) -> Error {
    Error::environment("MW0664", format!("the run's process could not be started: {error}"))
        .hint("it is the `meshwork` binary itself; was it replaced or removed while this process runs?")
}

struct Running {
    child: Child,
    group: Option<Pid>,
    stdin: Option<ChildStdin>,
    stdout: Option<Lines<BufReader<ChildStdout>>>,
    stderr: Option<Lines<BufReader<ChildStderr>>>,
    _folder: Folder,
}

#[async_trait]
impl RunChild for Running {
    async fn next(&mut self) -> Result<Option<RunEvent>> {
        loop {
            match (&mut self.stdout, &mut self.stderr) {
                (None, None) => return Ok(None),
                (Some(stdout), None) => match line(stdout).await {
                    Some(text) => return event(&text).map(Some),
                    None => self.stdout = None,
                },
                (None, Some(stderr)) => match line(stderr).await {
                    Some(text) => return Ok(Some(logged(text))),
                    None => self.stderr = None,
                },
                (Some(stdout), Some(stderr)) => {
                    tokio::select! {
                        biased;
                        text = line(stderr) => match text {
                            Some(text) => return Ok(Some(logged(text))),
                            None => self.stderr = None,
                        },
                        text = line(stdout) => match text {
                            Some(text) => return event(&text).map(Some),
                            None => self.stdout = None,
                        },
                    }
                }
            }
        }
    }

    async fn commit(&mut self) -> Result<()> {
        let gone = || Error::environment("MW0655", "the run's process ended before it could commit");
        let stdin = self.stdin.as_mut().ok_or_else(gone)?;
        stdin.write_all(b"commit\n").await.map_err(|_| gone())?;
        stdin.flush().await.map_err(|_| gone())
    }

    async fn kill(&mut self) {
        self.stdin = None;
        if let (Ok(None), Some(group)) = (self.child.try_wait(), self.group) {
            let _ = kill_process_group(group, Signal::KILL);
        }
        let _ = self.child.wait().await;
    }

    async fn ended(&mut self) -> String {
        self.stdin = None;
        match self.child.wait().await {
            Ok(status) => status.to_string(),
            Err(error) => error.to_string(),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let (Ok(None), Some(group)) = (self.child.try_wait(), self.group) {
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

/// A pipe that cannot be read is one that has ended.
async fn line<R: tokio::io::AsyncBufRead + Unpin>(lines: &mut Lines<R>) -> Option<String> {
    let mut text = lines.next_line().await.ok().flatten()?;
    if text.len() > LINE_LIMIT {
        let mut end = LINE_LIMIT;
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
    }
    Some(text)
}

fn event(line: &str) -> Result<RunEvent> {
    serde_json::from_str(line).map_err(|error| {
        Error::internal("MW0665", format!("the run's process wrote something else than an event: {error}"))
    })
}

fn logged(line: String) -> RunEvent {
    RunEvent::Log { level: "stderr".to_owned(), line }
}

/// A folder that is removed with everything in it.
#[derive(Debug)]
struct Folder(PathBuf);

impl Folder {
    fn create(path: PathBuf) -> Result<Self> {
        std::fs::create_dir_all(&path).map_err(|error| {
            Error::environment("MW0664", format!("the temporary folder {} cannot be made: {error}", path.display()))
        })?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Removes what the runs of dead processes left. Only for the holder of the state's lock, before it runs anything.
pub fn remove_leftovers(temporary: &Path) {
    let Ok(entries) = std::fs::read_dir(temporary) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        if name == "backup" || name.to_string_lossy().starts_with("run-") {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}
