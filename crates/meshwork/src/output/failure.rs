//! Errors as people read them.

use meshwork_core::diagnostic;
use meshwork_core::error::Error;

/// Without the sources that findings point at: they may be on another machine.
pub fn render(error: &Error, color: bool) -> String {
    diagnostic::render_error(error, |_| None, color)
}
