//! A program on a pseudo-terminal, as a person would use it. `script` makes the terminal; it is part of every Debian.

use std::io::{Read, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex};

use crate::mesh::wait_for;

pub const CTRL_C: &str = "\u{3}";

pub struct Terminal {
    child: Child,
    keyboard: ChildStdin,
    screen: Arc<Mutex<String>>,
    /// How much of the screen was looked at.
    seen: usize,
}

impl Terminal {
    pub fn of(command: &Command) -> Self {
        let words = std::iter::once(command.get_program()).chain(command.get_args());
        let quoted: Vec<String> =
            words.map(|word| format!("'{}'", word.to_string_lossy().replace('\'', "'\\''"))).collect();
        let line = format!("stty rows 40 cols 160; exec {}", quoted.join(" "));
        let mut script = Command::new("script");
        script.args(["--quiet", "--return", "--command", &line, "/dev/null"]).env("TERM", "xterm");
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => script.env(name, value),
                None => script.env_remove(name),
            };
        }
        script.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let mut child = script.spawn().expect("`script` starts");
        let keyboard = child.stdin.take().expect("a pipe");
        let mut output = child.stdout.take().expect("a pipe");
        let screen = Arc::new(Mutex::new(String::new()));
        let shared = Arc::clone(&screen);
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = output.read(&mut bytes) {
                shared.lock().expect("one reader").push_str(&String::from_utf8_lossy(&bytes[..count]));
            }
        });
        Self { child, keyboard, screen, seen: 0 }
    }

    pub fn types(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).and_then(|()| self.keyboard.flush()).expect("it listens");
    }

    /// Waits until this stands on the screen, behind what was waited for before; what came up to there.
    pub fn shows(&mut self, wanted: &str) -> String {
        let screen = Arc::clone(&self.screen);
        let from = self.seen;
        let end = wait_for(&format!("`{wanted}` on the screen"), || {
            let screen = screen.lock().expect("one reader");
            let found = screen[from..].find(wanted).map(|at| from + at + wanted.len());
            if found.is_none() {
                eprintln!("so far: {:?}", &screen[from..]);
            }
            found
        });
        self.seen = end;
        screen.lock().expect("one reader")[from..end].to_owned()
    }

    pub fn ends(mut self) -> Option<i32> {
        self.child.wait().expect("it ends").code()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
