//! Other machines, as sources and as storage: whom may be connected to, with which certificates and secrets, and for how
//! long. Everything here fails within a bounded time.

pub mod egress;
pub mod pause;
pub mod s3;
pub mod tls;

use std::time::Duration;

/// How long a server may take. One that takes longer is an error, and what was published before is still served.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    pub connecting: Duration,
    /// Without a byte.
    pub waiting: Duration,
    /// How often a request is tried.
    pub attempts: u32,
    /// Before the second attempt; doubled before each further one.
    pub pause: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            connecting: Duration::from_secs(10),
            waiting: Duration::from_secs(20),
            attempts: 4,
            pause: Duration::from_millis(250),
        }
    }
}
