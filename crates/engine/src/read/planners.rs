//! Planning has threads of its own. A planner does not look at the clock: one that takes too long is abandoned and goes on
//! until it is done. It then holds up nobody but the one who sent the statement.

use std::collections::HashMap;
use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use meshwork_core::error::{Error, Result};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

/// Statements of one user that may still be planned after nobody waits for them any more.
const ABANDONED: usize = 3;

pub struct Planners {
    handle: Handle,
    places: Semaphore,
    abandoned: Arc<Abandoned>,
}

/// By user.
#[derive(Default)]
struct Abandoned(Mutex<HashMap<String, usize>>);

impl Abandoned {
    fn of(&self, user: &str) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(user).copied().unwrap_or(0)
    }

    fn add(&self, user: &str) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(user.to_owned()).or_default() += 1;
    }

    fn remove(&self, user: &str) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = all.get_mut(user) {
            *count -= 1;
            if *count == 0 {
                all.remove(user);
            }
        }
    }
}

/// Both sides of one planning hold one. Whichever ends first turns the flag; so the other knows.
struct Side {
    ended: Arc<AtomicBool>,
    user: String,
    abandoned: Arc<Abandoned>,
    planner: bool,
}

impl Drop for Side {
    fn drop(&mut self) {
        let was_first = !self.ended.swap(true, Ordering::SeqCst);
        match (was_first, self.planner) {
            (true, false) => self.abandoned.add(&self.user),
            (false, true) => self.abandoned.remove(&self.user),
            _ => {}
        }
    }
}

impl Planners {
    /// So many at a time that somebody waits for.
    pub fn new(handle: Handle, places: usize) -> Self {
        Self { handle, places: Semaphore::new(places), abandoned: Arc::default() }
    }

    /// Plans on a thread of its own; dropping the future abandons it.
    pub async fn plan<T: Send + 'static>(
        &self,
        user: &str,
        step: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        if self.abandoned.of(user) >= ABANDONED {
            return Err(Error::limit(
                "MW0810",
                format!("{ABANDONED} statements that you sent before are still being planned"),
            )
            .hint("wait for them to end; write them more simply: nested calls are planned slowest"));
        }
        let _place = self.places.acquire().await;
        let ended = Arc::new(AtomicBool::new(false));
        let side = |planner| Side {
            ended: Arc::clone(&ended),
            user: user.to_owned(),
            abandoned: Arc::clone(&self.abandoned),
            planner,
        };
        let (mine, its) = (side(false), side(true));
        let handle = self.handle.clone();
        let planned = self.handle.spawn_blocking(move || {
            let _its = its;
            handle.block_on(step)
        });
        let planned = planned.await;
        // The planner has ended, so its side was first.
        drop(mine);
        match planned {
            Ok(planned) => planned,
            Err(error) => {
                tracing::error!(%error, "a statement could not be planned");
                Err(Error::internal("MW0816", "the query engine could not run this statement")
                    .hint("write it another way; the server's log has the reason"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;

    /// As a planner that does not look up: it blocks its thread.
    fn stuck(until: &Arc<Mutex<mpsc::Receiver<()>>>) -> impl Future<Output = Result<()>> + Send + 'static {
        let until = Arc::clone(until);
        async move {
            let _ = until.lock().unwrap().recv();
            Ok(())
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn an_abandoned_planner_holds_up_only_its_user() {
        let planners = Planners::new(Handle::current(), 2);
        let (free, until) = mpsc::channel();
        let until = Arc::new(Mutex::new(until));
        for _ in 0..ABANDONED {
            let waited = tokio::time::timeout(Duration::from_millis(20), planners.plan("eve", stuck(&until))).await;
            assert!(waited.is_err(), "it is stuck");
        }
        let refused = planners.plan("eve", async { Ok(1) }).await.unwrap_err();
        assert_eq!(refused.code, "MW0810");
        for _ in 0..10 {
            assert_eq!(planners.plan("ana", async { Ok(1) }).await.unwrap(), 1);
        }
        for _ in 0..ABANDONED {
            free.send(()).unwrap();
        }
        while planners.abandoned.of("eve") > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(planners.plan("eve", async { Ok(2) }).await.unwrap(), 2);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_planner_that_panics_is_an_error() {
        let planners = Planners::new(Handle::current(), 1);
        let broken = async {
            let nothing: Option<u8> = std::hint::black_box(None);
            Ok(nothing.expect("as planners do"))
        };
        assert_eq!(planners.plan("ana", broken).await.unwrap_err().code, "MW0816");
        assert_eq!(planners.abandoned.of("ana"), 0);
        assert_eq!(planners.plan("ana", async { Ok(1) }).await.unwrap(), 1);
    }
}
