//! The real clock and the real randomness. Everything else gets them as arguments.

use std::sync::Arc;

use async_trait::async_trait;
use chrono::SubsecRound;
use meshwork_control::port::state::{Applied, MeshState};
use meshwork_core::effect::{Clock, Entropy, Faults, Timestamp};
use meshwork_core::error::Result;
use meshwork_core::mesh::Mesh;
use meshwork_core::principal::Principal;
use rand::TryRng;

#[derive(Clone, Copy, Debug)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[allow(clippy::disallowed_methods, reason = "the one place where the wall clock is read")]
    fn now(&self) -> Timestamp {
        chrono::Utc::now().trunc_subsecs(6)
    }
}

#[derive(Clone, Copy, Debug)]
pub struct SystemEntropy;

impl Entropy for SystemEntropy {
    #[allow(clippy::disallowed_methods, reason = "the one place where the system's randomness is read")]
    fn fill(&self, out: &mut [u8]) {
        // Without randomness there are no keys, tokens or ids: nothing sensible can go on.
        rand::rngs::SysRng.try_fill_bytes(out).expect("the operating system gives random bytes");
    }
}

/// Ends this process at one named step, as `kill -9` would. Only tests configure one.
#[derive(Clone, Debug, Default)]
pub struct KillAt(pub Option<String>);

impl Faults for KillAt {
    fn reach(&self, step: &str) {
        if self.0.as_deref() == Some(step) {
            let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
        }
    }
}

/// The applied mesh with steps at which tests end the process.
pub struct Faulty {
    pub state: Arc<dyn MeshState>,
    pub faults: KillAt,
}

#[async_trait]
impl MeshState for Faulty {
    async fn applied(&self) -> Result<Applied> {
        self.state.applied().await
    }

    async fn apply(
        &self,
        base: u64,
        mesh: &Mesh,
        changes: &serde_json::Value,
        actor: &Principal,
        at: Timestamp,
    ) -> Result<u64> {
        self.faults.reach("apply.begin");
        let revision = self.state.apply(base, mesh, changes, actor, at).await?;
        self.faults.reach("apply.end");
        Ok(revision)
    }

    async fn policy_epoch(&self) -> Result<u64> {
        self.state.policy_epoch().await
    }
}
