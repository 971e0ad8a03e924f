//! Finding the addresses of a host and holding them against the mesh's list (D27). A connection goes to the addresses
//! that were held against it: a name that resolves anew to another address gains nothing.

use std::net::{IpAddr, SocketAddr};

use meshwork_core::egress::{Egress, Port};
use meshwork_core::{Error, Result};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// The addresses of a host that may be connected to; an error where there is none.
pub async fn addresses(kind: Port, host: &str, port: u16, egress: &Egress) -> Result<Vec<SocketAddr>> {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    if !egress.host(bare, port) && bare.parse::<IpAddr>().is_err() {
        return Err(refused(bare, port, "is not in the mesh's list"));
    }
    let found: Vec<SocketAddr> = match bare.parse::<IpAddr>() {
        Ok(address) => vec![SocketAddr::new(address, port)],
        Err(_) => tokio::net::lookup_host((bare, port))
            .await
            .map_err(|_| {
                Error::environment("MW0541", format!("the host `{bare}` is not known"))
                    .hint("check its name, and that this machine's name service knows it")
            })?
            .collect(),
    };
    let allowed: Vec<SocketAddr> =
        found.iter().copied().filter(|found| egress.address(kind, bare, port, found.ip())).collect();
    match (allowed.is_empty(), found.first()) {
        (false, _) => Ok(allowed),
        (true, Some(first)) if first.ip().is_loopback() => Err(refused(bare, port, "is this machine itself")),
        (true, _) => Err(refused(bare, port, "has only addresses that may not be connected to")),
    }
}

fn refused(host: &str, port: u16, why: &str) -> Error {
    Error::forbidden("MW0540", format!("`{host}:{port}` may not be connected to: it {why}"))
        .hint("`egress` of mesh.yaml lists the hosts that sources may reach: the mesh's owners decide on it")
}

/// The same for a client that resolves names itself. An address instead of a name never comes here: ask before.
#[derive(Clone, Debug)]
pub struct Resolver {
    pub port: u16,
    pub egress: Egress,
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let own = self.clone();
        Box::pin(async move {
            let found = addresses(Port::Web, name.as_str(), own.port, &own.egress).await?;
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}
