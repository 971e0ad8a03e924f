//! Passwords and tokens, as people give them.

use std::io::BufRead;

use meshwork_core::error::{Error, Result};

pub fn first_line(mut from: impl BufRead) -> Result<String> {
    let mut line = String::new();
    let failed = |error: std::io::Error| Error::environment("MW1014", format!("nothing could be read: {error}"));
    from.read_line(&mut line).map_err(failed)?;
    let secret = line.trim_end_matches(['\n', '\r']).to_owned();
    if secret.is_empty() {
        return Err(Error::usage("MW1014", "the password or token is empty"));
    }
    Ok(secret)
}

/// Asks on the terminal without showing what is typed.
pub fn asked(question: &str) -> Result<String> {
    use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
    let input = std::io::stdin();
    let before = tcgetattr(&input).map_err(|error| Error::environment("MW1014", format!("no terminal: {error}")))?;
    let mut silent = before.clone();
    silent.local_modes.remove(LocalModes::ECHO);
    eprint!("{question}");
    let _ = tcsetattr(&input, OptionalActions::Now, &silent);
    let answer = first_line(input.lock());
    let _ = tcsetattr(&input, OptionalActions::Now, &before);
    eprintln!();
    answer
}
