//! A PostgreSQL server for one test: its own data folder, port and password; stopped by its process id when dropped.

use std::fs;
use std::io::Write;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use crate::process::{command, free_port, runs_as};

#[derive(Debug)]
pub struct Postgres {
    server: Child,
    folder: tempfile::TempDir,
    programs: PathBuf,
    port: u16,
}

const PASSWORD: &str = "tops3cret";

impl Postgres {
    /// Starts a server. Says how to install PostgreSQL when there is none: a test without it must fail, not pass unseen.
    pub fn start() -> Result<Self, String> {
        Self::launch(false).map(|(server, _)| server)
    }

    /// Starts one that also speaks TLS, with a certificate of its own for `localhost`, which is given back in PEM.
    pub fn start_with_tls() -> Result<(Self, String), String> {
        Self::launch(true)
    }

    fn launch(tls: bool) -> Result<(Self, String), String> {
        let programs = programs()?;
        let folder = tempfile::tempdir().map_err(|error| format!("no temporary folder: {error}"))?;
        let user = runs_as(folder.path(), "postgres")?;
        let data = folder.path().join("data");
        fs::create_dir(&data).map_err(|error| format!("{}: {error}", data.display()))?;
        let password = folder.path().join("password");
        fs::File::create(&password)
            .and_then(|mut file| file.write_all(PASSWORD.as_bytes()))
            .map_err(|error| format!("{}: {error}", password.display()))?;
        if let Some((_, uid, gid)) = &user {
            for path in [folder.path(), &data, &password] {
                chown(path, Some(*uid), Some(*gid)).map_err(|error| format!("{}: {error}", path.display()))?;
            }
        }
        let made = command(&programs.join("initdb"), user.as_ref())
            .args(["-U", "postgres", "-A", "scram-sha-256", "-E", "UTF8", "--no-locale", "--no-sync"])
            .arg(format!("--pwfile={}", password.display()))
            .arg("-D")
            .arg(&data)
            .output()
            .map_err(|error| format!("initdb: {error}"))?;
        if !made.status.success() {
            return Err(format!("initdb failed: {}", String::from_utf8_lossy(&made.stderr)));
        }
        let certificate = if tls { certificate(&data, user.as_ref())? } else { String::new() };
        let log = fs::File::create(folder.path().join("log")).map_err(|error| format!("log: {error}"))?;
        let port = free_port()?;
        let server = command(&programs.join("postgres"), user.as_ref())
            .arg("-D")
            .arg(&data)
            .args(["-p", &port.to_string(), "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"])
            .args(["-c", if tls { "ssl=on" } else { "ssl=off" }])
            .arg("-c")
            .arg(format!("unix_socket_directories={}", folder.path().display()))
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .map_err(|error| format!("postgres: {error}"))?;
        let mut server = Self { server, folder, programs, port };
        for _ in 0..300 {
            if server.psql("SELECT 1").is_ok() {
                return Ok((server, certificate));
            }
            if let Ok(Some(status)) = server.server.try_wait() {
                let log = fs::read_to_string(server.folder.path().join("log")).unwrap_or_default();
                return Err(format!("postgres stopped ({status}): {log}"));
            }
            sleep(Duration::from_millis(100));
        }
        Err("postgres did not become ready within 30 seconds".to_owned())
    }

    /// On 127.0.0.1; database and user are `postgres`.
    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn password(&self) -> &'static str {
        PASSWORD
    }

    /// Runs statements; panics where they fail, as they are part of a test.
    pub fn sql(&self, statements: &str) {
        if let Err(error) = self.psql(statements) {
            panic!("psql: {error}");
        }
    }

    fn psql(&self, statements: &str) -> Result<(), String> {
        self.client("host=127.0.0.1", statements)
    }

    fn client(&self, connection: &str, statements: &str) -> Result<(), String> {
        let done = Command::new(self.programs.join("psql"))
            .env("PGPASSWORD", PASSWORD)
            .args(["-v", "ON_ERROR_STOP=1", "-q", "-X", "-c", statements, "-d"])
            .arg(format!("{connection} port={} user=postgres dbname=postgres", self.port))
            .stdin(Stdio::null())
            .output()
            .map_err(|error| error.to_string())?;
        if done.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&done.stderr).into_owned()) }
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // SIGQUIT is PostgreSQL's immediate shutdown, which takes its own children along.
        let _ = Command::new("kill").args(["-QUIT", &self.server.id().to_string()]).status();
        let _ = self.server.wait();
    }
}

/// Makes a key and a certificate in the data folder, and gives the certificate.
fn certificate(data: &Path, user: Option<&(&'static str, u32, u32)>) -> Result<String, String> {
    let (key, certificate) = (data.join("server.key"), data.join("server.crt"));
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"])
        .args(["-addext", "subjectAltName=DNS:localhost", "-addext", "basicConstraints=critical,CA:FALSE", "-keyout"])
        .arg(&key)
        .arg("-out")
        .arg(&certificate)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("openssl: {error}"))?;
    if !made.status.success() {
        return Err(format!("openssl: {}", String::from_utf8_lossy(&made.stderr)));
    }
    for path in [&key, &certificate] {
        if let Some((_, uid, gid)) = user {
            chown(path, Some(*uid), Some(*gid)).map_err(|error| format!("{}: {error}", path.display()))?;
        }
    }
    fs::read_to_string(&certificate).map_err(|error| format!("{}: {error}", certificate.display()))
}

/// The newest installation that has all of what is needed.
fn programs() -> Result<PathBuf, String> {
    let mut found: Vec<(u32, PathBuf)> = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin"))))
        .filter(|(_, programs)| programs.join("initdb").exists() && programs.join("psql").exists())
        .collect();
    found.sort();
    let elsewhere = ["/usr/local/bin", "/usr/bin", "/usr/local/pgsql/bin"].map(PathBuf::from);
    found
        .pop()
        .map(|(_, programs)| programs)
        .or_else(|| {
            elsewhere.into_iter().find(|programs| programs.join("initdb").exists() && programs.join("psql").exists())
        })
        .ok_or_else(|| "PostgreSQL is not installed, and this test needs it: apt-get install postgresql".to_owned())
}
