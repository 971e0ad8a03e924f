//! What opens a source: where it comes from, and where it is kept, which is never a manifest.

use std::collections::BTreeMap;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use meshwork_core::error::{Error, Result};
use meshwork_core::name::Name;
use meshwork_engine::source::Secrets;

use crate::config;
use crate::output::Printer;

/// Secrets by their names, as far as the user gave them; what was not given may stand in the environment.
#[derive(Clone, Default)]
pub struct Credentials(BTreeMap<String, Option<String>>);

impl Credentials {
    pub fn add(&mut self, secret: String, given: Option<String>) {
        self.0.insert(secret, given);
    }

    /// As manifests refer to it, if it is known at all.
    pub fn reference(&self, domain: &Name, secret: &str) -> Option<String> {
        self.known(domain, secret).map(|_| format!("${{secret:{secret}}}"))
    }

    fn known(&self, domain: &Name, secret: &str) -> Option<String> {
        let variable = variable(domain, secret);
        let set = config::secrets_of(domain).into_iter().find(|(name, _)| name.to_string_lossy() == variable);
        self.0.get(secret)?.clone().or_else(|| set.and_then(|(_, value)| value.into_string().ok()))
    }

    pub fn secrets(&self, domain: &Name) -> Secrets {
        let known = |secret: &String| Some((variable(domain, secret), self.known(domain, secret)?));
        Secrets { variables: self.0.keys().filter_map(known).collect(), folder: None }
    }

    /// Puts what was given where runs on this machine find it, readable by its owner only and not in git.
    pub fn keep(&self, state: &Path, domain: &Name, printer: &Printer) -> Result<()> {
        let folder = state.join("secrets").join(domain.as_str());
        for (secret, value) in &self.0 {
            let Some(value) = value else { continue };
            let file = folder.join(secret);
            let io = |error: std::io::Error| {
                Error::environment("MW1026", format!("the secret cannot be kept in {}: {error}", file.display()))
                    .hint(format!("set the environment variable {} for runs instead", variable(domain, secret)))
            };
            std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder).map_err(io)?;
            let _ = std::fs::remove_file(&file);
            let mut new =
                std::fs::OpenOptions::new().create_new(true).write(true).mode(0o600).open(&file).map_err(io)?;
            new.write_all(value.as_bytes()).map_err(io)?;
            let what = if secret.ends_with("_password") { "password" } else { "secret" };
            printer.note(&format!(
                "the {what} is in {} for runs on this machine; elsewhere set {}",
                file.display(),
                variable(domain, secret)
            ));
        }
        Ok(())
    }
}

/// The variable that a run takes a secret from.
pub fn variable(domain: &Name, secret: &str) -> String {
    format!("MW_SECRET_{domain}_{secret}").to_ascii_uppercase()
}

/// Percent-encoding, undone.
pub fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digits = [rest.next()?, rest.next()?];
        bytes.push(u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?);
    }
    String::from_utf8(bytes).ok()
}
