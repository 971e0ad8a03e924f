//! A disk of a few megabytes: a tmpfs that only one mount namespace sees.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::mesh::wait_for;

#[derive(Debug)]
pub struct Disk {
    /// Holds the namespace.
    holder: Child,
    /// The folder, as it is seen from outside.
    pub folder: PathBuf,
}

impl Disk {
    /// With a copy of what the folder holds, in its place. `None` where namespaces are forbidden, after saying so.
    pub fn over(folder: &Path, megabytes: u32) -> Option<Self> {
        let at = folder.to_str().expect("text");
        let script = format!(
            "cp -r {at} {at}.copy && mount -t tmpfs -o size={megabytes}m tmpfs {at} && \
             cp -r {at}.copy/. {at} && rm -r {at}.copy && touch {at}/ready && exec sleep 600"
        );
        let mut holder = Command::new("unshare")
            .args(["--mount", "--propagation", "private", "sh", "-c", &script])
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("unshare");
        let folder = PathBuf::from(format!("/proc/{}/root{at}", holder.id()));
        let up = wait_for("the disk", || match holder.try_wait() {
            Ok(Some(_)) => Some(false),
            _ => folder.join("ready").exists().then_some(true),
        });
        if !up {
            let why = holder.wait_with_output().expect("ended").stderr;
            // Past what the test harness keeps to itself.
            let mut said = std::io::stderr();
            let why = String::from_utf8_lossy(&why);
            let _ =
                writeln!(said, "SKIPPED: no mount namespace of its own here, so no disk can fill up: {}", why.trim());
            return None;
        }
        Some(Self { holder, folder })
    }

    /// The same command, where the disk is mounted.
    pub fn enter(&self, command: &Command) -> Command {
        let mut entering = Command::new("nsenter");
        entering.arg(format!("--mount=/proc/{}/ns/mnt", self.holder.id())).arg("--");
        entering.arg(command.get_program()).args(command.get_args()).stdin(Stdio::null());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => entering.env(name, value),
                None => entering.env_remove(name),
            };
        }
        entering
    }

    /// Fills it up to `free` bytes.
    pub fn fill(&self, free: usize) {
        let mut file = std::fs::File::create(self.filler()).expect("created");
        let mut written = 0u64;
        while let Ok(bytes) = file.write(&[0; 4096]) {
            written += bytes as u64;
        }
        file.set_len(written.saturating_sub(free as u64)).expect("cut");
    }

    pub fn clear(&self) {
        std::fs::remove_file(self.filler()).expect("removed");
    }

    fn filler(&self) -> PathBuf {
        self.folder.join("filler")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}
