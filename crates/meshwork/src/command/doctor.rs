//! `meshwork doctor`: what stands in the way of this mesh, and what to do about it. Changes nothing.

mod look;

use clap::Args;
use meshwork_core::error::Result;
use serde::Serialize;
use serde_json::json;

use super::Context;
use crate::exit;
use crate::output::column;

#[derive(Debug, Args)]
pub struct Doctor {}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    Ok,
    Warn,
    Fail,
}

/// One thing that was looked at.
#[derive(Clone, Debug, Serialize)]
struct Finding {
    state: State,
    /// What was looked at, in one or two words.
    what: String,
    message: String,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
}

impl Finding {
    fn ok(what: &str, message: impl Into<String>) -> Self {
        Self { state: State::Ok, what: what.to_owned(), message: message.into(), hint: None }
    }

    fn warn(what: &str, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { state: State::Warn, hint: Some(hint.into()), ..Self::ok(what, message) }
    }

    fn fail(what: &str, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { state: State::Fail, hint: Some(hint.into()), ..Self::ok(what, message) }
    }

    fn error(what: &str, error: &meshwork_core::Error) -> Self {
        let hint = Some(error.hints.join("; ")).filter(|hint| !hint.is_empty());
        Self { state: State::Fail, hint, ..Self::ok(what, error.to_string()) }
    }
}

impl Doctor {
    pub async fn run(self, context: &Context) -> Result<u8> {
        let findings = look::all(context).await;
        let printer = &context.printer;
        if printer.is_for_people() {
            for finding in &findings {
                let mark = match finding.state {
                    State::Ok => printer.good("ok  "),
                    State::Warn => printer.warn("warn"),
                    State::Fail => printer.bad("fail"),
                };
                printer.line(&format!("{mark}  {:<12} {}", finding.what, finding.message));
                if let Some(hint) = &finding.hint {
                    printer.line(&format!("{:19}{}", "", printer.dim(hint)));
                }
            }
        } else {
            let findings: Vec<_> = findings.iter().map(|finding| json!(finding)).collect();
            let columns = ["state", "what", "message", "hint"].map(|name| column(name, name));
            printer.list(&findings, &columns);
        }
        let failed = findings.iter().any(|finding| finding.state == State::Fail);
        Ok(if failed { exit::code(meshwork_core::Kind::Check) } else { exit::OK })
    }
}
