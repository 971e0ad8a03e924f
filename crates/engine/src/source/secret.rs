//! Secrets, resolved in the run's process and nowhere else (D27). They stand in connections as `${secret:name}`.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use meshwork_core::{Error, Result};

/// Where secrets come from: variables that the binary took from its environment (`MW_SECRET_<DOMAIN>_<NAME>`), and a
/// folder with a file each (`<domain>/<name>`). Variables win.
#[derive(Clone, Default)]
pub struct Secrets {
    pub variables: BTreeMap<String, String>,
    pub folder: Option<PathBuf>,
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secrets({} variables, folder {:?})", self.variables.len(), self.folder)
    }
}

impl Secrets {
    /// The environment variable that holds the secret behind a reference; `None` where it is no reference.
    pub fn variable(domain: &str, reference: &str) -> Option<String> {
        let name = reference.strip_prefix("${secret:")?.strip_suffix('}')?;
        Some(format!("MW_SECRET_{domain}_{name}").replace('-', "_").to_ascii_uppercase())
    }

    /// The secret behind a reference.
    pub fn resolve(&self, domain: &str, reference: &str) -> Result<String> {
        let Some(name) = reference.strip_prefix("${secret:").and_then(|rest| rest.strip_suffix('}')) else {
            return Err(Error::check("MW0531", format!("a connection of domain `{domain}` has a literal password"))
                .hint("write `password: ${secret:name}` and set the secret where the run can read it"));
        };
        let plain = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'));
        let variable = format!("MW_SECRET_{domain}_{name}").replace('-', "_").to_ascii_uppercase();
        if !plain {
            return Err(Error::check("MW0530", format!("`{name}` is not the name of a secret"))
                .hint("use letters, digits, `_` and `-`"));
        }
        if let Some(secret) = self.variables.get(&variable) {
            return Ok(secret.clone());
        }
        let file = self.folder.as_ref().map(|folder| folder.join(domain).join(name));
        if let Some(secret) = file.as_ref().and_then(|file| std::fs::read_to_string(file).ok()) {
            return Ok(secret.trim_end_matches(['\n', '\r']).to_owned());
        }
        let error = Error::environment("MW0530", format!("the secret `{name}` of domain `{domain}` is not set"))
            .hint(format!("set the environment variable {variable}"));
        Err(match file {
            Some(file) => error.hint(format!("or write it to {}", file.display())),
            None => error,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_before_files_and_no_literals() {
        let folder = tempfile::tempdir().expect("temp");
        std::fs::create_dir(folder.path().join("sales")).expect("creates");
        std::fs::write(folder.path().join("sales/crm"), "from file\n").expect("writes");
        let mut secrets = Secrets { variables: BTreeMap::new(), folder: Some(folder.path().to_owned()) };
        assert_eq!(secrets.resolve("sales", "${secret:crm}"), Ok("from file".to_owned()));
        secrets.variables.insert("MW_SECRET_SALES_CRM".into(), "from env".into());
        assert_eq!(secrets.resolve("sales", "${secret:crm}"), Ok("from env".to_owned()));
        assert_eq!(secrets.resolve("hr", "${secret:crm}").expect_err("another domain").code, "MW0530");
        assert_eq!(secrets.resolve("sales", "${secret:../x}").expect_err("a path").code, "MW0530");
        let literal = secrets.resolve("sales", "hunter2").expect_err("a literal");
        assert_eq!(literal.code, "MW0531");
        assert!(!format!("{literal:?}{secrets:?}").contains("hunter2"));
        assert!(!format!("{secrets:?}").contains("from env"));
    }
}
