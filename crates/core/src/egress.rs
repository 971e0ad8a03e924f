//! Where sources may connect to (D27): the mesh's list of hosts, and the addresses that are refused unless they stand in
//! it, because what listens there trusts whoever can reach it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};

/// `egress` of mesh.yaml. Without a list every host on other machines may be reached.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Egress(pub Option<Vec<Destination>>);

/// `host`, `host:port`, `*.example.com`, `192.0.2.7`, `[2001:db8::1]:443`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Destination {
    host: String,
    port: Option<u16>,
}

impl Destination {
    /// `None` where the text is neither a host name nor an address.
    pub fn parse(text: &str) -> Option<Self> {
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (host, rest) = rest.split_once(']')?;
                host.parse::<Ipv6Addr>().ok()?;
                (host, rest.strip_prefix(':').map(str::parse::<u16>).transpose().ok()?)
            }
            None if text.parse::<Ipv6Addr>().is_ok() => (text, None),
            None => match text.rsplit_once(':') {
                Some((host, port)) => (host, Some(port.parse().ok()?)),
                None => (text, None),
            },
        };
        let name = host.strip_prefix("*.").unwrap_or(host);
        let fits = name.parse::<IpAddr>().is_ok()
            || (!name.is_empty()
                && name.len() <= 253
                && name.split('.').all(|label| {
                    !label.is_empty() && label.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
                }));
        (fits && port != Some(0)).then(|| Self { host: host.to_ascii_lowercase(), port })
    }

    fn names(&self, host: &str, port: u16) -> bool {
        if self.port.is_some_and(|own| own != port) {
            return false;
        }
        let host = host.trim_start_matches('[').trim_end_matches([']', '.']).to_ascii_lowercase();
        match self.host.strip_prefix("*.") {
            Some(domain) => host.strip_suffix(domain).is_some_and(|rest| rest.len() > 1 && rest.ends_with('.')),
            None => host == self.host,
        }
    }
}

impl std::fmt::Display for Destination {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.port, self.host.contains(':')) {
            (Some(port), true) => write!(f, "[{}]:{port}", self.host),
            (Some(port), false) => write!(f, "{}:{port}", self.host),
            (None, _) => f.write_str(&self.host),
        }
    }
}

impl TryFrom<String> for Destination {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text).ok_or_else(|| format!("`{text}` is not a host"))
    }
}

impl From<Destination> for String {
    fn from(destination: Destination) -> Self {
        destination.to_string()
    }
}

/// Who else connects, which decides what is refused without being asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Port {
    /// A database asks for a login: one on this machine is an ordinary thing.
    Database,
    /// HTTP: much that listens on this machine answers whoever can reach it.
    Web,
}

impl Egress {
    /// Whether the list names the host.
    pub fn names(&self, host: &str, port: u16) -> bool {
        self.0.iter().flatten().any(|destination| destination.names(host, port))
    }

    /// Whether the host may be asked for at all; its addresses are decided by [`Self::address`].
    pub fn host(&self, host: &str, port: u16) -> bool {
        self.0.is_none() || self.names(host, port)
    }

    /// Whether an address that the host has may be connected to.
    pub fn address(&self, kind: Port, host: &str, port: u16, address: IpAddr) -> bool {
        let listed = self.names(host, port) || self.names(&address.to_canonical().to_string(), port);
        match reach(address) {
            Reach::Elsewhere => self.host(host, port) || listed,
            Reach::Here if kind == Port::Database => self.host(host, port) || listed,
            Reach::Here | Reach::Special => listed,
        }
    }
}

enum Reach {
    /// This machine.
    Here,
    /// The link, metadata services of clouds, groups of machines.
    Special,
    Elsewhere,
}

fn reach(address: IpAddr) -> Reach {
    // Azure's and Alibaba's, and AWS' over IPv6, beside the link-local one of all others.
    const METADATA: [IpAddr; 3] = [
        IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),
        IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
        IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
    ];
    let address = address.to_canonical();
    let link = match address {
        IpAddr::V4(v4) => v4.is_link_local() || v4.is_broadcast(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    };
    if address.is_loopback() || address.is_unspecified() || matches!(address, IpAddr::V4(v4) if v4.octets()[0] == 0) {
        Reach::Here
    } else if link || address.is_multicast() || METADATA.contains(&address) {
        Reach::Special
    } else {
        Reach::Elsewhere
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn egress(list: &[&str]) -> Egress {
        Egress(Some(list.iter().map(|text| Destination::parse(text).expect("a destination")).collect()))
    }

    #[test]
    fn destinations() {
        for text in ["db.internal", "db:5432", "*.example.com:443", "192.0.2.7", "::1", "[::1]:443", "localhost"] {
            assert_eq!(Destination::parse(text).map(|d| d.to_string()).as_deref(), Some(text));
        }
        for text in ["", "https://x", "a b", "x:0", "x:99999", "*", "a..b", "[::1", "x/y"] {
            assert_eq!(Destination::parse(text), None, "{text}");
        }
        let list = egress(&["*.example.com", "db:5432"]);
        for (host, port, named) in [
            ("a.example.com", 1, true),
            ("A.B.EXAMPLE.com.", 1, true),
            ("example.com", 1, false),
            ("evilexample.com", 1, false),
            ("db", 5432, true),
            ("db", 22, false),
        ] {
            assert_eq!(list.names(host, port), named, "{host}:{port}");
        }
    }

    #[test]
    fn what_listens_here_is_reached_only_when_it_is_listed() {
        let open = Egress::default();
        let to =
            |egress: &Egress, kind, host: &str, ip: &str| egress.address(kind, host, 80, ip.parse().expect("an ip"));
        assert!(to(&open, Port::Web, "data.example.com", "93.184.216.34"));
        assert!(to(&open, Port::Web, "intranet", "10.0.0.7"));
        for ip in ["127.0.0.1", "::1", "0.0.0.0", "169.254.169.254", "fe80::1", "::ffff:127.0.0.1", "fd00:ec2::254"] {
            // Whatever name it was asked for by.
            assert!(!to(&open, Port::Web, "data.example.com", ip), "{ip}");
            assert!(to(&egress(&[ip.trim_start_matches("::ffff:")]), Port::Web, "data.example.com", ip), "{ip}");
        }
        assert!(to(&open, Port::Database, "localhost", "127.0.0.1"));
        assert!(!to(&open, Port::Database, "db", "169.254.169.254"));
        let list = egress(&["db.internal"]);
        assert!(!to(&list, Port::Database, "localhost", "127.0.0.1"));
        assert!(!to(&list, Port::Web, "data.example.com", "93.184.216.34"));
        assert!(to(&list, Port::Web, "db.internal", "127.0.0.1"));
    }
}
