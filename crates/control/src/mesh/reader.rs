use std::sync::{Arc, Mutex, PoisonError};

use meshwork_core::error::Result;

use crate::port::state::{Applied, MeshState};

/// The applied mesh, parsed once for each change.
pub struct MeshReader {
    state: Arc<dyn MeshState>,
    kept: Mutex<Option<(u64, Arc<Applied>)>>,
}

impl MeshReader {
    pub fn new(state: Arc<dyn MeshState>) -> Self {
        Self { state, kept: Mutex::default() }
    }

    /// As of now: the policy epoch, which every apply raises, says whether what is kept still holds.
    pub async fn applied(&self) -> Result<Arc<Applied>> {
        let epoch = self.state.policy_epoch().await?;
        if let Some((_, applied)) = self.kept().as_ref().filter(|(of, _)| *of == epoch) {
            return Ok(applied.clone());
        }
        // Read after the epoch: should an apply come in between, this is newer than its label and read again.
        let applied = Arc::new(self.state.applied().await?);
        *self.kept() = Some((epoch, applied.clone()));
        Ok(applied)
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, Option<(u64, Arc<Applied>)>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
