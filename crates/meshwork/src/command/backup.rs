//! `meshwork backup` and `meshwork restore`

use std::collections::BTreeMap;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use clap::Args;
use futures::StreamExt;
use indicatif::HumanBytes;
use meshwork_core::error::{Error, Result};
use meshwork_engine::storage::missing_file;
use meshwork_store::{StateFolder, settle_copy};
use serde_json::json;

use super::Context;
use crate::backup::restore::{Restored, unpack};
use crate::client::Call;
use crate::compose::{self, Platform};
use crate::config::Config;
use crate::exit;
use crate::output::progress::Counter;

#[derive(Debug, Args)]
pub struct Backup {
    /// Where to write it, such as `acme.tar.zst`. It holds the keys and secrets of the mesh: keep it safe
    file: PathBuf,
}

impl Backup {
    pub async fn run(self, context: &Context) -> Result<u8> {
        let failed = |error: std::io::Error| crate::backup::io("writing", &self.file, &error);
        if self.file.exists() {
            return Err(Error::conflict("MW1090", format!("{} exists already", self.file.display()))
                .hint("a backup never overwrites another: choose a new name"));
        }
        let client = context.client().await?;
        let mut answer = client.call(Call::get("backup").accept("application/zstd")).await?;
        let mut draft = self.file.clone().into_os_string();
        draft.push(".part");
        let draft = Draft(PathBuf::from(draft));
        let mut file = std::fs::OpenOptions::new()
            .create(true)
            .truncate(true)
            .write(true)
            .mode(0o600)
            .open(&draft.0)
            .map_err(failed)?;
        let progress = Counter::new(&context.printer, "packing");
        let mut written = 0;
        while let Some(chunk) = answer.body.next().await {
            let chunk = chunk?;
            file.write_all(&chunk).map_err(failed)?;
            written += chunk.len() as u64;
            progress.set(written);
        }
        file.sync_all().map_err(failed)?;
        std::fs::rename(&draft.0, &self.file).map_err(failed)?;
        progress.end();
        context.printer.note(&format!("{}: {}", self.file.display(), HumanBytes(written)));
        if !context.printer.is_for_people() {
            context.printer.item(&json!({"file": self.file, "bytes": written}));
        }
        Ok(exit::OK)
    }
}

/// Removed unless it was renamed.
struct Draft(PathBuf);

impl Drop for Draft {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[derive(Debug, Args)]
pub struct Restore {
    /// What `meshwork backup` wrote
    file: PathBuf,
    /// The new mesh folder
    folder: PathBuf,
    /// Where a storage root that lay outside of the old mesh folder goes; repeat for several
    #[arg(long = "storage", value_name = "OLD=NEW", value_parser = moved)]
    storage: Vec<(String, PathBuf)>,
}

fn moved(text: &str) -> std::result::Result<(String, PathBuf), String> {
    let (old, new) = text.split_once('=').ok_or("write `/old/folder=/new/folder`")?;
    let new = std::path::absolute(new).map_err(|error| error.to_string())?;
    Ok((old.trim_end_matches('/').to_owned(), new))
}

impl Restore {
    pub async fn run(self, context: &Context) -> Result<u8> {
        let folder =
            std::path::absolute(&self.folder).map_err(|error| crate::backup::io("finding", &self.folder, &error))?;
        let moved: BTreeMap<_, _> = self.storage.into_iter().collect();
        let (file, target) = (self.file.clone(), folder.clone());
        let restored = tokio::task::spawn_blocking(move || unpack(&file, &target, &moved))
            .await
            .map_err(|error| Error::internal("MW1099", error.to_string()))??;
        let proof = prove(&context.config, &folder, &restored).await?;
        let printer = &context.printer;
        printer.note(&format!("mesh {} as of {}", restored.mesh, restored.at.format("%F %T UTC")));
        printer.note(&format!("{} files, {}, all as they were packed", restored.files, HumanBytes(restored.bytes)));
        printer.note(&format!("{} tables complete, audit log of {} records intact", proof.tables, proof.records));
        for (old, new) in restored.roots.iter().filter(|(old, new)| old == new && !old.starts_with("file:")) {
            printer.note(&format!("{old} was not packed: {new} is used as it is now"));
        }
        if !printer.is_for_people() {
            printer.item(&json!({
                "mesh": restored.mesh, "at": restored.at, "files": restored.files, "bytes": restored.bytes,
                "tables": proof.tables, "audit_records": proof.records,
            }));
        }
        Ok(exit::OK)
    }
}

struct Proof {
    tables: usize,
    records: u64,
}

/// The restored mesh opens, its audit log verifies, and every published table has all its files.
async fn prove(config: &Config, folder: &Path, restored: &Restored) -> Result<Proof> {
    let state = StateFolder::of(folder);
    settle_copy(&state.database(), &restored.roots).await?;
    let platform = compose::open(&config.at(folder), state.lock()?).await?;
    let proof = examine(&platform).await;
    platform.close(std::time::Duration::from_secs(5)).await;
    proof
}

async fn examine(platform: &Platform) -> Result<Proof> {
    let audit = platform.app.audit.verify(None).await?;
    if let Some(at) = audit.broken {
        return Err(Error::environment(
            "MW1094",
            format!("the audit log does not hold from record {}: {}", at.sequence, at.because),
        )
        .hint("it was changed before the backup was taken; `meshwork audit verify` says the same of the original"));
    }
    let mut tables = 0;
    for publication in platform.app.publications.current().await? {
        for output in &publication.outputs {
            if let Some(file) = missing_file(&platform.stores, &output.location, output.delta_version).await? {
                let path = format!("{}{}", output.location.root, file.path);
                return Err(Error::environment("MW1094", format!("{path} is missing or cut off"))
                    .hint("run the product again in the restored mesh, or restore another backup"));
            }
            tables += 1;
        }
    }
    Ok(Proof { tables, records: audit.records })
}
