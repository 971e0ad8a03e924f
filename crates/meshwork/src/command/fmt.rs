//! `meshwork fmt`

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Args;
use meshwork_control::checkout::{self, Limits};
use meshwork_core::diagnostic;
use meshwork_core::error::{Error, Kind, Result};
use meshwork_core::format;
use serde_json::json;

use super::Context;
use crate::{compose, exit};

#[derive(Debug, Args)]
pub struct Fmt {
    /// Files or folders of the mesh; all of it unless given
    paths: Vec<PathBuf>,
    /// Change nothing; fail when something would be changed
    #[arg(long)]
    check: bool,
}

impl Fmt {
    pub fn run(&self, context: &Context) -> Result<u8> {
        let printer = &context.printer;
        let folder = compose::mesh_folder(&context.config)?;
        let (files, unreadable) = checkout::read(&folder, Limits::DEFAULT);
        let mut failures = unreadable.len();
        unreadable.iter().for_each(|finding| printer.raw(&diagnostic::render(finding, None, printer.color)));
        let mut changed = Vec::new();
        for (path, text) in files.iter().filter(|(path, _)| is_yaml(path) && self.asked(&folder, path)) {
            match format::format(path, text) {
                Ok(formatted) if formatted == *text => {}
                Ok(formatted) => {
                    if !self.check {
                        replace(&folder.join(path), &formatted)?;
                    }
                    changed.push(path.as_str());
                }
                Err(findings) => {
                    failures += 1;
                    for finding in &findings {
                        printer.complain(diagnostic::render(finding, Some(text), printer.color).trim_end());
                    }
                }
            }
        }
        if printer.is_for_people() {
            changed.iter().for_each(|path| printer.line(path));
            let word = if self.check { "would be changed" } else { "changed" };
            printer.note(&format!("{} of {} files {word}", changed.len(), files.keys().filter(|p| is_yaml(p)).count()));
        } else {
            printer.item(&json!({"changed": changed, "written": !self.check, "failed": failures}));
        }
        if failures > 0 {
            return Err(Error::check("MW1053", format!("{failures} files could not be formatted"))
                .hint("`meshwork check` says what is wrong with them"));
        }
        Ok(if self.check && !changed.is_empty() { exit::code(Kind::Check) } else { exit::OK })
    }

    fn asked(&self, folder: &Path, path: &str) -> bool {
        let file = folder.join(path);
        let inside = |asked: &PathBuf| {
            let absolute: PathBuf = std::path::absolute(asked).map(|p| p.components().collect()).unwrap_or_default();
            file.starts_with(&absolute) || file.starts_with(folder.join(asked))
        };
        self.paths.is_empty() || self.paths.iter().any(inside)
    }
}

fn is_yaml(path: &str) -> bool {
    path.ends_with(".yaml") || path.ends_with(".yml")
}

/// All of it or nothing: written aside, with the mode of the old file, then put in its place. A link keeps being one.
fn replace(path: &Path, text: &str) -> Result<()> {
    let failed =
        |error: std::io::Error| Error::environment("MW1026", format!("{} cannot be written: {error}", path.display()));
    let path = path.canonicalize().map_err(failed)?;
    let folder = path.parent().unwrap_or(&path);
    let mut draft = tempfile::NamedTempFile::new_in(folder).map_err(failed)?;
    let mode = std::fs::metadata(&path).map_err(failed)?.permissions();
    draft.write_all(text.as_bytes()).and_then(|()| draft.as_file().set_permissions(mode)).map_err(failed)?;
    draft.persist(&path).map(drop).map_err(|error| failed(error.error))
}
