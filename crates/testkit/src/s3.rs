//! An S3 server for one test (versitygw, which checks signatures): its own folder, port and keys; stopped by its process
//! id when dropped.

use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use crate::process::free_port;

#[derive(Debug)]
pub struct S3 {
    server: Child,
    folder: tempfile::TempDir,
    port: u16,
}

impl S3 {
    pub const KEY_ID: &'static str = "test-key";
    pub const KEY: &'static str = "test-secret-key";

    /// Starts a server with empty buckets. A test without versitygw must fail, not pass unseen.
    pub fn start(buckets: &[&str]) -> Result<Self, String> {
        let program = program()?;
        let folder = tempfile::tempdir().map_err(|error| format!("no temporary folder: {error}"))?;
        let (data, side) = (folder.path().join("data"), folder.path().join("side"));
        for path in [&side].into_iter().cloned().chain(buckets.iter().map(|bucket| data.join(bucket))) {
            fs::create_dir_all(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        }
        let log = fs::File::create(folder.path().join("log")).map_err(|error| format!("log: {error}"))?;
        let port = free_port()?;
        let server = Command::new(program)
            .env("ROOT_ACCESS_KEY", Self::KEY_ID)
            .env("ROOT_SECRET_KEY", Self::KEY)
            .args(["--port", &format!("127.0.0.1:{port}"), "-q", "posix", "--sidecar"])
            .args([&side, &data])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .map_err(|error| format!("versitygw: {error}"))?;
        let mut server = Self { server, folder, port };
        for _ in 0..150 {
            if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return Ok(server);
            }
            if let Ok(Some(status)) = server.server.try_wait() {
                let log = fs::read_to_string(server.folder.path().join("log")).unwrap_or_default();
                return Err(format!("versitygw stopped ({status}): {log}"));
            }
            sleep(Duration::from_millis(100));
        }
        Err("versitygw did not become ready within 15 seconds".to_owned())
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The folder that holds the objects of a bucket, each a file.
    pub fn bucket(&self, name: &str) -> PathBuf {
        self.folder.path().join("data").join(name)
    }
}

impl Drop for S3 {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

fn program() -> Result<PathBuf, String> {
    let home = std::env::home_dir().unwrap_or_default();
    let cached = home.join(".cache/meshwork/bin/versitygw");
    [cached.as_path(), Path::new("/usr/local/bin/versitygw"), Path::new("/usr/bin/versitygw")]
        .into_iter()
        .find(|program| program.exists())
        .map(Path::to_owned)
        .ok_or_else(|| "versitygw is not installed, and this test needs it: run scripts/deps".to_owned())
}
