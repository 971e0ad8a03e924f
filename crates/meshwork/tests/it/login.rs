//! From the first administrator's one-time token to a token of one's own, and back to none.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Stdio;

use crate::mesh::{Mesh, Said};

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).expect("there").permissions().mode() & 0o777
}

fn with_input(mesh: &Mesh, args: &[&str], input: &str) -> Said {
    let mut command = mesh.command(args);
    let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = child.expect("starts");
    child.stdin.take().expect("piped").write_all(input.as_bytes()).expect("written");
    Said::of(child.wait_with_output().expect("ends"))
}

#[test]
fn the_first_token_is_exchanged_once() {
    let mesh = Mesh::published();
    let server = mesh.serve();
    let file = mesh.path().join(".meshwork/admin-token");
    crate::mesh::wait_for("the first token", || {
        std::fs::read_to_string(&file).ok().filter(|text| text.ends_with('\n'))
    });
    assert_eq!(mode(&file), 0o600);
    let once = std::fs::read_to_string(&file).expect("there");
    let file = file.to_str().expect("text");

    let copy = mesh.path().join("copy");
    std::fs::write(&copy, &once).expect("written");
    mesh.ok(&["login", "--server", &server.http, "--token-file", file, "--name", "here"]);
    assert!(!Path::new(file).exists(), "the one-time token's file is gone");
    let contexts = mesh.path().join(".config/meshwork/contexts.json");
    assert_eq!(mode(&contexts), 0o600);
    assert!(!std::fs::read_to_string(&contexts).expect("there").contains(once.trim()));
    // The context is in use from then on.
    let who = mesh.json(&["whoami"]);
    assert_eq!((who["principal"].as_str(), who["admin"].as_bool()), (Some("user:admin"), Some(true)), "{who}");
    assert!(who["token"].is_string() && who["expires_at"].is_string(), "{who}");

    let again = mesh.fails(4, &["login", "--server", &server.http, "--token-file", copy.to_str().expect("text")]);
    assert_eq!(again.error_code(), Some("MW0950"), "{again:?}");
    assert_eq!(mesh.json(&["whoami"])["principal"], "user:admin", "a failed login changes nothing");

    mesh.ok(&["logout"]);
    assert_eq!(mesh.fails(4, &["whoami"]).error_code(), Some("MW0940"));
    assert_eq!(mesh.fails(5, &["logout"]).error_code(), Some("MW1067"));
    mesh.ok(&["context", "use", "--none"]);
    let left = mesh.json(&["token", "list", "--user", "admin"]);
    let left = left.as_array().expect("a list");
    assert!(left.iter().all(|token| token["spent_at"].is_string()), "the login's token is revoked: {left:?}");

    // The folder's owner makes another, for whomever.
    mesh.ok(&["user", "add", "ana"]);
    let once = mesh.ok(&["token", "create", "laptop", "--user", "ana", "--one-time", "-q"]);
    assert!(once.starts_with("mw_once_"), "{once}");
    let said = with_input(&mesh, &["login", "--server", &server.http], &once);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert_eq!(mesh.json(&["whoami"])["principal"], "user:ana");
    let said = with_input(&mesh, &["login", "--server", &server.http, "--token-file", "-"], &once);
    assert_eq!((said.code, said.error_code()), (Some(4), Some("MW0950")), "{said:?}");
}
