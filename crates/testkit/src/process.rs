//! Starting servers for tests: on a free port, never as root where they refuse that.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Command, Stdio};

/// Databases refuse to run as root: then they run as the user that their package made.
pub(crate) fn runs_as(folder: &Path, user: &'static str) -> Result<Option<(&'static str, u32, u32)>, String> {
    let root = fs::metadata(folder).map_err(|error| error.to_string())?.uid() == 0;
    if !root {
        return Ok(None);
    }
    let users = fs::read_to_string("/etc/passwd").map_err(|error| error.to_string())?;
    let found = users.lines().find_map(|line| {
        let mut parts = line.split(':');
        let (name, _, uid, gid) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        (name == user).then(|| Some((user, uid.parse().ok()?, gid.parse().ok()?))).flatten()
    });
    found
        .map(Some)
        .ok_or_else(|| format!("running as root, and there is no user `{user}` to run the server as: run scripts/deps"))
}

pub(crate) fn command(program: &Path, user: Option<&(&'static str, u32, u32)>) -> Command {
    let mut command = match user {
        // Becomes the program, so that its process id is the server's.
        Some((_, uid, gid)) => {
            let mut command = Command::new("setpriv");
            command
                .args(["--reuid", &uid.to_string(), "--regid", &gid.to_string(), "--clear-groups", "--"])
                .arg(program);
            command
        }
        None => Command::new(program),
    };
    command.current_dir("/").stdin(Stdio::null()).env("LC_ALL", "C");
    command
}

pub(crate) fn free_port() -> Result<u16, String> {
    let listener = TcpListener::bind("127.0.0.1:0").map_err(|error| error.to_string())?;
    listener.local_addr().map(|address| address.port()).map_err(|error| error.to_string())
}
