//! A state on disk, and a data plane that is never asked to plan or run.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use meshwork_control::audit::AuditService;
use meshwork_control::mesh::{MeshReader, MeshService};
use meshwork_control::platform::Ports;
use meshwork_control::port::data::{
    PlanRequest, PlannedQuery, QueryEngine, RunEngine, RunObserver, RunSpec, SqlCheck, SqlChecker, StorageProbe,
    StorageSpec, TableLayout, Vacuumed,
};
use meshwork_core::audit::checkpoint::Signer;
use meshwork_core::contract::Table;
use meshwork_core::error::{Diagnostic, Error, Place, Result};
use meshwork_core::id::{Ids, MeshId, RunId};
use meshwork_core::publication::TableLocation;
use meshwork_core::run::{OutputReport, RunReport};
use meshwork_core::storage::StorageRoot;
use meshwork_store::SqliteState;
use meshwork_testkit::{SeededEntropy, TestClock};

pub struct Platform {
    pub state: SqliteState,
    pub mesh: MeshService,
    pub audit: AuditService,
    pub storage: Arc<Storage>,
    _dir: tempfile::TempDir,
}

pub async fn platform() -> Platform {
    let dir = tempfile::tempdir().expect("a folder");
    let clock = Arc::new(TestClock::new());
    let entropy = Arc::new(SeededEntropy::new(1));
    let ids = Ids { clock: &*clock, entropy: &*entropy };
    let state = SqliteState::open(&dir.path().join("state.db"), ids).await.expect("opened");
    let shared = Arc::new(state.clone());
    let storage = Arc::new(Storage::default());
    let audit = AuditService::start(shared.clone(), entropy.clone(), Signer::new("meshwork/test", &[1; 32])).await;
    let ports = Ports {
        mesh: shared.clone(),
        runs: shared.clone(),
        publications: shared.clone(),
        agreements: shared.clone(),
        credentials: shared.clone(),
        audit: shared.clone(),
        query: storage.clone(),
        run: storage.clone(),
        sql: storage.clone(),
        storage: storage.clone(),
        clock,
        entropy,
    };
    let reader = Arc::new(MeshReader::new(shared));
    let mesh = MeshService::new(ports, reader, Arc::new(audit.clone()));
    Platform { state, mesh, audit, storage, _dir: dir }
}

/// Tables in storage with the versions that somebody has committed.
#[derive(Default)]
pub struct Storage {
    /// Roots whose store was asked what it does; those of the bucket `broken` are not fit.
    pub probed: Mutex<Vec<StorageRoot>>,
    pub commits: Mutex<Vec<(TableLocation, Vec<u64>)>>,
}

fn unasked() -> Error {
    Error::internal("MW0409", "these tests do not plan or run")
}

#[async_trait]
impl RunEngine for Storage {
    async fn stage(&self, _: &RunSpec, _: Arc<dyn RunObserver>) -> Result<RunReport> {
        Err(unasked())
    }
    async fn commit(&self, _: &RunId, _: &[OutputReport]) -> Result<Vec<u64>> {
        Err(unasked())
    }
    async fn committed(&self, _: &RunId, _: &[OutputReport]) -> Result<Vec<Option<u64>>> {
        Err(unasked())
    }
    async fn collect(&self, _: &TableLocation, _: &[u64]) -> Result<Vec<String>> {
        Err(unasked())
    }
    async fn layout(&self, _: &TableLocation, _: u64) -> Result<TableLayout> {
        Err(unasked())
    }
    async fn vacuum(&self, _: &TableLocation, _: &[u64], _: bool) -> Result<Vacuumed> {
        Err(unasked())
    }
    async fn remove_table(&self, _: &TableLocation, _: bool) -> Result<Vacuumed> {
        Ok(Vacuumed::default())
    }
    async fn collect_quarantine(&self, _: &TableLocation, _: &[RunId]) -> Result<Vec<String>> {
        Ok(Vec::new())
    }
    async fn remove_quarantine(&self, _: &TableLocation, _: &RunId) -> Result<()> {
        Ok(())
    }
    async fn foreign_commits(&self, location: &TableLocation, known: &[u64]) -> Result<Vec<u64>> {
        let commits = self.commits.lock().expect("free");
        let there = commits.iter().filter(|(at, _)| at == location).flat_map(|(_, versions)| versions);
        Ok(there.filter(|version| !known.contains(version)).copied().collect())
    }
}

#[async_trait]
impl QueryEngine for Storage {
    async fn plan(&self, _: PlanRequest) -> Result<Arc<dyn PlannedQuery>> {
        Err(unasked())
    }
}

impl SqlChecker for Storage {
    fn check_sql(&self, _: &SqlCheck) -> Vec<Diagnostic> {
        Vec::new()
    }
    fn check_clause_sql(&self, _: &str, _: &Place, _: &Table) -> Vec<Diagnostic> {
        Vec::new()
    }
}

#[async_trait]
impl StorageProbe for Storage {
    async fn probe(&self, storage: &StorageSpec, _: &MeshId) -> Result<()> {
        self.probed.lock().expect("free").push(storage.root.clone());
        match storage.root.storage.url.starts_with("s3://broken/") {
            true => Err(Error::environment("MW0617", "it creates twice")),
            false => Ok(()),
        }
    }
}
