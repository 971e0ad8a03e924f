//! Errors as people read them.

use meshwork_core::diagnostic;
use meshwork_core::error::Error;

/// Without the sources that findings point at: they may be on another machine.
pub fn render(error: &Error, color: bool) -> String {
    diagnostic::render_error(error, |_| None, color)
}

/// An error in a statement that was just typed or read, so that it can be pointed into.
pub fn render_in(error: &Error, statement: &str, color: bool) -> String {
    let path = error.place.as_ref().map(|place| place.path.clone());
    diagnostic::render_error(error, |asked| (path.as_deref() == Some(asked)).then(|| statement.to_owned()), color)
}
