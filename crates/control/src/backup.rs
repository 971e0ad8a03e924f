//! Backups: the whole mesh as one archive, while it goes on being used.
//!
//! The state is copied first, at one moment; then the files that it refers to. Files of published versions never change,
//! so what is copied later is still what the state meant. The archiver proves that nothing is missing before it ends.

use std::collections::HashSet;
use std::sync::Arc;

use futures::StreamExt;
use meshwork_core::audit::{Entry, Event};
use meshwork_core::effect::Clock;
use meshwork_core::error::Result;
use meshwork_core::permission::{ApiAction, Resource, may};
use meshwork_core::principal::Subject;
use meshwork_core::publication::TableLocation;

use crate::port::audit::AuditSink;
use crate::port::backup::{ArchivePlan, Archiver, ByteStream, StateCopy};
use crate::port::state::{MeshState, PublicationState, TableState};
use crate::readers::Readers;

const PAGE: u32 = 1000;

#[derive(Clone)]
pub struct BackupService {
    pub state: Arc<dyn StateCopy>,
    pub mesh: Arc<dyn MeshState>,
    pub publications: Arc<dyn PublicationState>,
    pub tables: Arc<dyn TableState>,
    pub archiver: Arc<dyn Archiver>,
    pub audit: Arc<dyn AuditSink>,
    pub clock: Arc<dyn Clock>,
    pub readers: Readers,
}

impl BackupService {
    /// The archive as it is written. It holds every secret of the mesh: for administrators only, and on record.
    pub async fn create(&self, actor: &Subject, subject: &Subject, address: Option<String>) -> Result<ByteStream> {
        may(Some(subject), ApiAction::Backup, Resource::Mesh)?;
        let mesh = self.mesh.applied().await?.mesh_id;
        let event =
            Event::Access { action: "backup.create".to_owned(), object: mesh.to_string(), table: None, purpose: None };
        let entry = Entry::new(self.clock.now(), actor.principal.clone(), event)
            .on_behalf_of(subject.principal.clone())
            .from_address(address);
        self.audit.record(entry).await?;
        // What the copied state refers to stays until all of it is packed.
        let pause = self.readers.pause();
        let state = self.archiver.place()?;
        self.state.copy_to(&state).await?;
        let mut publications = Vec::new();
        loop {
            let before = publications.last().map(|last: &meshwork_core::publication::Publication| last.id.clone());
            let page = self.publications.publications(None, before.as_ref(), PAGE).await?;
            let more = page.len() == PAGE as usize;
            publications.extend(page);
            if !more {
                break;
            }
        }
        // Of tables that were given up only the record is left.
        let known = self.tables.tables(None).await?;
        let known: HashSet<&TableLocation> = known.iter().map(|table| &table.place.location).collect();
        for publication in &mut publications {
            publication.outputs.retain(|output| known.contains(&output.location));
        }
        let archive = self.archiver.pack(ArchivePlan { mesh, state, publications }).await?;
        Ok(Box::pin(archive.inspect(move |_| {
            let _ = &pause;
        })))
    }
}
