//! The ports in TLS: real clients, and what must not work.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use crate::mesh::{Mesh, Server, wait_for};
use crate::redteam::people::PASSWORD;

const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];

/// A server with a certificate of its own authority for `localhost`.
struct Secured<'a> {
    server: Server<'a>,
    https: String,
    pg: u16,
    folder: PathBuf,
}

fn openssl(arguments: &[&str]) {
    let made = Command::new("openssl").args(arguments).output().expect("openssl is there");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

/// `ca.pem`, and `server.pem` with `server.key` that it signed, as serial number `serial`.
fn certify(folder: &Path, serial: &str) {
    let file = |name: &str| folder.join(name).to_str().expect("UTF-8").to_owned();
    let (ca, ca_key, request) = (file("ca.pem"), file("ca.key"), file("request.pem"));
    if !Path::new(&ca).exists() {
        openssl(&[
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            "2",
            "-subj",
            "/CN=authority",
            "-keyout",
            &ca_key,
            "-out",
            &ca,
        ]);
    }
    let (key, certificate) = (file("server.key.new"), file("server.pem.new"));
    openssl(&[
        "req",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-subj",
        "/CN=localhost",
        "-addext",
        "subjectAltName=DNS:localhost,IP:127.0.0.1",
        "-keyout",
        &key,
        "-out",
        &request,
    ]);
    openssl(&[
        "x509",
        "-req",
        "-in",
        &request,
        "-CA",
        &ca,
        "-CAkey",
        &ca_key,
        "-set_serial",
        serial,
        "-days",
        "2",
        "-copy_extensions",
        "copy",
        "-out",
        &certificate,
    ]);
    std::fs::rename(&key, file("server.key")).expect("renamed");
    std::fs::rename(&certificate, file("server.pem")).expect("renamed");
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port").port()
}

/// An address of this machine that is not loopback; nothing is sent to find it.
fn own_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect("192.0.2.1:9").ok()?;
    Some(socket.local_addr().ok()?.ip()).filter(|ip| !ip.is_loopback() && !ip.is_unspecified())
}

fn secured<'a>(mesh: &'a Mesh, folder: &Path) -> Secured<'a> {
    certify(folder, "1");
    let (http, pg) = (free_port(), free_port());
    let (certificate, key) = (folder.join("server.pem"), folder.join("server.key"));
    let server = mesh.serve_on(&[
        "--http",
        &format!("0.0.0.0:{http}"),
        "--pg",
        &format!("0.0.0.0:{pg}"),
        "--tls-cert",
        certificate.to_str().expect("UTF-8"),
        "--tls-key",
        key.to_str().expect("UTF-8"),
    ]);
    Secured { server, https: format!("https://localhost:{http}"), pg, folder: folder.to_owned() }
}

impl Secured<'_> {
    fn ca(&self) -> String {
        self.folder.join("ca.pem").to_str().expect("UTF-8").to_owned()
    }

    fn psql(&self, host: &str, more: &str) -> Output {
        let target = format!("host={host} port={} user=ana dbname=meshwork {more}", self.pg);
        Command::new("psql")
            .env("PGPASSWORD", PASSWORD)
            .args(["-X", "-At", "-d", &target, "-c", "SELECT 1 + 1"])
            .output()
            .expect("psql is there")
    }

    /// The serial number of the certificate that the port shows.
    fn serial(&self, port: u16, more: &[&str]) -> String {
        let shown = Command::new("sh")
            .arg("-c")
            .arg(format!(
                "openssl s_client -connect 127.0.0.1:{port} {} </dev/null 2>/dev/null | openssl x509 -noout -serial",
                more.join(" ")
            ))
            .output()
            .expect("openssl is there");
        String::from_utf8_lossy(&shown.stdout).trim().to_owned()
    }
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr)).trim().to_owned()
}

fn signed_up() -> Mesh {
    let mesh = Mesh::shop();
    mesh.ok(&["apply"]);
    mesh.user("ana");
    mesh
}

#[test]
fn every_client_finds_the_certificate_right() {
    let mesh = signed_up();
    let folder = tempfile::tempdir().expect("a folder");
    let secured = secured(&mesh, folder.path());
    let ca = secured.ca();
    assert_eq!(text(&secured.psql("localhost", &format!("sslmode=verify-full sslrootcert={ca}"))), "2");
    assert_eq!(text(&secured.psql("127.0.0.1", "sslmode=disable")), "2", "on this machine TLS is not needed");
    let untrusted = secured.psql("localhost", "sslmode=verify-full sslrootcert=system");
    assert!(!untrusted.status.success(), "{}", text(&untrusted));

    let curl = |more: &[&str]| {
        let output = Command::new("curl").args(["-sS"]).args(more).arg(format!("{}/readyz", secured.https)).output();
        output.expect("curl is there")
    };
    assert!(curl(&["--cacert", &ca, "-f"]).status.success());
    assert!(!curl(&["-f"]).status.success(), "an unknown authority");

    // The command line: beside the folder, and from elsewhere.
    assert!(mesh.ok(&["whoami"]).contains("owner"));
    let token = secured.server.token.clone();
    let elsewhere = ["--server", &secured.https, "--token", &token];
    let refused = mesh.fails(3, &[&elsewhere[..], &["product", "list"]].concat());
    assert_eq!(refused.error_code(), Some("MW1007"), "{refused:?}");
    let listed = mesh.ok(&[&elsewhere[..], &["--ca-cert", &ca, "product", "list"]].concat());
    assert!(listed.contains("orders"), "{listed}");
    let wrong = mesh.fails(3, &[&elsewhere[..], &["--ca-cert", "mesh.yaml", "product", "list"]].concat());
    assert_eq!(wrong.error_code(), Some("MW1011"));
}

#[test]
fn from_another_machine_nobody_signs_in_without_tls() {
    let Some(address) = own_address() else {
        eprintln!("NOT TESTED: this machine has no address but loopback");
        return;
    };
    let mesh = signed_up();
    let folder = tempfile::tempdir().expect("a folder");
    let secured = secured(&mesh, folder.path());
    let host = address.to_string();
    let refused = secured.psql(&host, "sslmode=disable");
    assert!(text(&refused).contains("connections from other machines need TLS"), "{}", text(&refused));
    assert_eq!(text(&secured.psql(&host, "sslmode=require")), "2");
}

/// What is sent in the clear before the handshake must not count as sent inside it (CVE-2021-23214).
#[test]
fn words_before_the_handshake_are_no_part_of_the_conversation() {
    let mesh = signed_up();
    let folder = tempfile::tempdir().expect("a folder");
    let secured = secured(&mesh, folder.path());
    let mut stream = TcpStream::connect(("127.0.0.1", secured.pg)).expect("connected");
    stream.set_read_timeout(Some(Duration::from_secs(10))).expect("set");
    let mut startup = vec![0, 3, 0, 0];
    startup.extend_from_slice(b"user\0ana\0\0");
    let mut bytes = SSL_REQUEST.to_vec();
    bytes.extend_from_slice(&u32::try_from(startup.len() + 4).expect("short").to_be_bytes());
    bytes.extend_from_slice(&startup);
    stream.write_all(&bytes).expect("sent");
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    // `S`, and then at most the alert that says that this is no handshake; never a message of the protocol.
    assert_eq!(answer.first(), Some(&b'S'));
    assert!(answer.get(1).is_none_or(|first| *first == 0x15), "{answer:?}");
}

#[test]
fn peers_that_never_finish_the_handshake_keep_nobody_waiting() {
    let mesh = signed_up();
    let folder = tempfile::tempdir().expect("a folder");
    let secured = secured(&mesh, folder.path());
    let http: u16 = secured.https.rsplit(':').next().and_then(|port| port.parse().ok()).expect("a port");
    let idle: Vec<TcpStream> = (0..40)
        .flat_map(|n| [(http, n), (secured.pg, n)])
        .map(|(port, n)| {
            let mut stream = TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], port))).expect("connected");
            let half: &[u8] = if port == http { &[0x16, 3, 1] } else { &SSL_REQUEST };
            stream.write_all(&half[..n % half.len()]).expect("sent");
            stream
        })
        .collect();
    let began = Instant::now();
    let ca = secured.ca();
    assert_eq!(text(&secured.psql("localhost", &format!("sslmode=verify-full sslrootcert={ca}"))), "2");
    let curl = Command::new("curl").args(["-sSf", "--cacert", &ca]).arg(format!("{}/readyz", secured.https)).output();
    assert!(curl.expect("curl is there").status.success());
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    drop(idle);
}

#[test]
fn a_renewed_certificate_is_shown_without_a_restart() {
    let mesh = signed_up();
    let folder = tempfile::tempdir().expect("a folder");
    let secured = secured(&mesh, folder.path());
    let http: u16 = secured.https.rsplit(':').next().and_then(|port| port.parse().ok()).expect("a port");
    assert_eq!(secured.serial(http, &[]), "serial=01");
    assert_eq!(secured.serial(secured.pg, &["-starttls", "postgres"]), "serial=01");
    // Half a renewal, as a careless script leaves it for a moment: the pair before stays.
    std::fs::write(folder.path().join("server.pem"), "-----BEGIN CERTIFICATE-----\n").expect("written");
    assert_eq!(secured.serial(http, &[]), "serial=01");
    certify(folder.path(), "2");
    wait_for("the new certificate", || (secured.serial(http, &[]) == "serial=02").then_some(()));
    assert_eq!(secured.serial(secured.pg, &["-starttls", "postgres"]), "serial=02");
}

#[test]
fn what_cannot_be_used_is_said_before_anything_is_opened() {
    let mesh = Mesh::shop();
    let folder = tempfile::tempdir().expect("a folder");
    certify(folder.path(), "1");
    let file = |name: &str| folder.path().join(name).to_str().expect("UTF-8").to_owned();
    let serve = |certificate: &str, key: &str| {
        let ports = ["serve", "--http", "127.0.0.1:0", "--pg", "off", "--tls-cert", certificate, "--tls-key", key];
        mesh.fails(3, &ports).error_code().map(str::to_owned)
    };
    let unusable = Some("MW0984".to_owned());
    assert_eq!(serve(&file("absent.pem"), &file("server.key")), unusable);
    assert_eq!(serve(&file("server.key"), &file("server.key")), unusable, "no certificate in it");
    assert_eq!(serve(&file("server.pem"), &file("ca.key")), unusable, "another's key");
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    std::fs::set_permissions(file("server.key"), open).expect("set");
    assert_eq!(serve(&file("server.pem"), &file("server.key")), unusable, "a key for everybody");
    assert_eq!(mesh.meshwork(&["serve", "--tls-cert", &file("server.pem")]).code, Some(2), "half of it");
}
