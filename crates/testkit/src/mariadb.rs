//! A MariaDB server for one test: its own data folder, port and password; stopped by its process id when dropped.

use std::fs;
use std::os::unix::fs::chown;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use crate::process::{command, free_port, runs_as};

#[derive(Debug)]
pub struct Mariadb {
    server: Child,
    folder: tempfile::TempDir,
    port: u16,
}

const PASSWORD: &str = "tops3cret";

impl Mariadb {
    /// Starts a server. Says how to install MariaDB when there is none: a test without it must fail, not pass unseen.
    pub fn start() -> Result<Self, String> {
        let folder = tempfile::tempdir().map_err(|error| format!("no temporary folder: {error}"))?;
        let user = runs_as(folder.path(), "mysql")?;
        let data = folder.path().join("data");
        fs::create_dir(&data).map_err(|error| format!("{}: {error}", data.display()))?;
        // What the server runs before it listens.
        let first = folder.path().join("first.sql");
        let statements = format!(
            // One statement a line.
            "FLUSH PRIVILEGES;\nCREATE DATABASE shop CHARACTER SET utf8mb4;\n\
             CREATE USER 'reader'@'127.0.0.1' IDENTIFIED BY '{PASSWORD}';\nGRANT ALL ON shop.* TO 'reader'@'127.0.0.1';\n"
        );
        fs::write(&first, statements).map_err(|error| format!("{}: {error}", first.display()))?;
        if let Some((_, uid, gid)) = &user {
            for path in [folder.path(), &data, &first] {
                chown(path, Some(*uid), Some(*gid)).map_err(|error| format!("{}: {error}", path.display()))?;
            }
        }
        let made = command(&program(&["mariadb-install-db", "mysql_install_db"])?, user.as_ref())
            .args(["--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db"])
            .arg(format!("--datadir={}", data.display()))
            .output()
            .map_err(|error| format!("mariadb-install-db: {error}"))?;
        if !made.status.success() {
            return Err(format!("mariadb-install-db failed: {}", String::from_utf8_lossy(&made.stderr)));
        }
        let log = fs::File::create(folder.path().join("log")).map_err(|error| format!("log: {error}"))?;
        let port = free_port()?;
        let server = command(&program(&["mariadbd", "mysqld"])?, user.as_ref())
            .args(["--no-defaults", "--bind-address=127.0.0.1", "--skip-networking=0", "--innodb-flush-method=nosync"])
            // Zero dates and other liberties that old applications take.
            .args(["--sql-mode=", "--skip-name-resolve"])
            .arg(format!("--port={port}"))
            .arg(format!("--datadir={}", data.display()))
            .arg(format!("--socket={}", folder.path().join("s").display()))
            .arg(format!("--pid-file={}", folder.path().join("pid").display()))
            .arg(format!("--init-file={}", first.display()))
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .map_err(|error| format!("mariadbd: {error}"))?;
        let mut server = Self { server, folder, port };
        for _ in 0..300 {
            if server.client("SELECT 1").is_ok() {
                return Ok(server);
            }
            if let Ok(Some(status)) = server.server.try_wait() {
                let log = fs::read_to_string(server.folder.path().join("log")).unwrap_or_default();
                return Err(format!("mariadbd stopped ({status}): {log}"));
            }
            sleep(Duration::from_millis(100));
        }
        let log = fs::read_to_string(server.folder.path().join("log")).unwrap_or_default();
        let first: String = log.lines().take(40).collect::<Vec<_>>().join("\n");
        Err(format!("mariadbd did not become ready within 30 seconds: {first}"))
    }

    /// On 127.0.0.1; the database is `shop`, the user `reader`.
    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn password(&self) -> &'static str {
        PASSWORD
    }

    /// Runs statements; panics where they fail, as they are part of a test.
    pub fn sql(&self, statements: &str) {
        if let Err(error) = self.client(statements) {
            panic!("mariadb: {error}");
        }
    }

    fn client(&self, statements: &str) -> Result<(), String> {
        let done = Command::new(program(&["mariadb", "mysql"])?)
            .env("MYSQL_PWD", PASSWORD)
            .args(["--no-defaults", "-h", "127.0.0.1", "-u", "reader", "--default-character-set=utf8mb4"])
            .args(["-P", &self.port.to_string(), "-e", statements, "shop"])
            .stdin(Stdio::null())
            .output()
            .map_err(|error| error.to_string())?;
        if done.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&done.stderr).into_owned()) }
    }
}

impl Drop for Mariadb {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

fn program(names: &[&str]) -> Result<PathBuf, String> {
    ["/usr/sbin", "/usr/bin", "/usr/local/bin", "/usr/local/sbin"]
        .iter()
        .flat_map(|folder| names.iter().map(move |name| PathBuf::from(folder).join(name)))
        .find(|program| program.exists())
        .ok_or_else(|| "MariaDB is not installed, and this test needs it: run scripts/deps".to_owned())
}
