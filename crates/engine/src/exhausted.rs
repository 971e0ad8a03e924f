//! Which bound of a session an error of DataFusion speaks of. It has no one error for them.

use datafusion::arrow::error::ArrowError;
use datafusion::common::DataFusionError;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exhausted {
    Memory,
    /// The space for temporary files that the session may use.
    Spill,
}

/// `None`: the error is about something else.
pub fn exhausted(error: &DataFusionError) -> Option<Exhausted> {
    match error.find_root() {
        DataFusionError::ResourcesExhausted(text) => {
            let spill = ["disk", "spill", "temporary"].iter().any(|word| text.contains(word));
            Some(if spill { Exhausted::Spill } else { Exhausted::Memory })
        }
        // A writer of temporary files can only fail as a file does.
        DataFusionError::IoError(io) => beyond(io),
        DataFusionError::ArrowError(arrow, _) => match arrow.as_ref() {
            ArrowError::IoError(_, io) => beyond(io),
            _ => None,
        },
        _ => None,
    }
}

fn beyond(io: &std::io::Error) -> Option<Exhausted> {
    io.to_string().contains("disk space during the spilling process").then_some(Exhausted::Spill)
}
