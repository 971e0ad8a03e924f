//! Named steps at which a test may kill, stop or slow a run.
//!
//! The binary passes at most one fail point into the engine's configuration, written `name`, `name:kill`, `name:error`
//! or `name:sleep`. Without one, passing a step costs a comparison with `None`. The steps of a run, in order:
//! `stage-start`, `after-first-file`, `after-merge` and `after-compaction` (where there are such), `after-stage`, `before-commit`, `after-commit-of-output-N` (N counts from 1),
//! `after-commit`. Of the removal of a table: `after-log-removed`.

use std::time::Duration;

use meshwork_core::{Error, Result};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailPoint {
    step: String,
    action: Action,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    /// Ends the process at once, as kill -9 would: no destructors, no flushing.
    Kill,
    Error,
    /// A minute, so that a test can do something to the run meanwhile.
    Sleep,
}

impl FailPoint {
    /// Reads `name[:kill|:error|:sleep]`; without an action, `kill`.
    pub fn parse(text: &str) -> Result<Self> {
        let (step, action) = text.split_once(':').unwrap_or((text, "kill"));
        let action = match action {
            "kill" => Action::Kill,
            "error" => Action::Error,
            "sleep" => Action::Sleep,
            other => {
                return Err(Error::usage("MW0640", format!("`{other}` is not an action of a fail point"))
                    .hint("write `name:kill`, `name:error` or `name:sleep`"));
            }
        };
        Ok(Self { step: step.to_owned(), action })
    }
}

/// Passes a step: does what the configured fail point says if it names this step.
pub async fn pass(point: Option<&FailPoint>, step: &str) -> Result<()> {
    match point {
        Some(point) if point.step == step => match point.action {
            Action::Kill => {
                // SIGKILL cannot be caught, so nothing of ours runs after it: the same as power loss for this process.
                let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
                Err(Error::internal("MW0640", format!("the process outlived the fail point `{step}`")))
            }
            Action::Error => Err(Error::environment("MW0640", format!("the fail point `{step}` was hit"))),
            Action::Sleep => {
                tokio::time::sleep(Duration::from_secs(60)).await;
                Ok(())
            }
        },
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_named_step_fails() {
        let point = FailPoint::parse("after-stage:error").expect("valid");
        assert!(pass(Some(&point), "stage-start").await.is_ok());
        assert_eq!(pass(Some(&point), "after-stage").await.expect_err("fails").code, "MW0640");
        assert!(pass(None, "after-stage").await.is_ok());
        assert!(FailPoint::parse("x:explode").is_err());
    }
}
