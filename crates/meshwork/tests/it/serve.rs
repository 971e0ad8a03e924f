//! A server, and the command line as its client.

use std::process::Stdio;

use rustix::process::Signal;

use crate::mesh::{Mesh, PRODUCT};

#[test]
fn commands_go_to_the_server_that_holds_the_state() {
    let mesh = Mesh::published();
    let server = mesh.serve();
    assert_eq!(mesh.served(), 3);
    mesh.orders(5);
    mesh.ok(&["run", PRODUCT]);
    assert_eq!(mesh.served(), 5);
    let who = mesh.json(&["whoami"]);
    assert_eq!(who["admin"], true, "{who}");
    assert_eq!(server.stop(Signal::TERM), Some(0));
    assert!(!mesh.path().join(".meshwork/server.json").exists());
    assert_eq!(mesh.served(), 5, "the folder can be used again");
}

#[test]
fn without_a_credential_nothing_is_told() {
    let mesh = Mesh::published();
    let server = mesh.serve();
    let said = mesh.meshwork(&["--server", &server.http, "product", "list"]);
    assert_eq!(said.code, Some(4), "{said:?}");
    let said = mesh.meshwork(&["--server", &server.http, "--token", "mw_wrong", "product", "list"]);
    assert_eq!(said.code, Some(4), "{said:?}");
    let token = mesh.path().join(".meshwork/admin-token");
    let token = token.to_str().expect("text");
    let said = mesh.meshwork(&["--server", &server.http, "--token-file", token, "product", "list"]);
    assert_eq!((said.code, said.error_code()), (Some(4), Some("MW0949")), "it is to be exchanged: {said:?}");
}

#[test]
fn a_port_in_use_is_named() {
    let mesh = Mesh::shop();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("free");
    let address = taken.local_addr().expect("bound").to_string();
    let said = mesh.fails(3, &["serve", "--http", &address, "--pg", "off"]);
    assert_eq!(said.error_code(), Some("MW0982"));
    assert!(said.err.contains("--http 127.0.0.1:PORT"), "{}", said.err);
    assert_eq!(mesh.fails(2, &["serve", "--http", "0.0.0.0:0"]).error_code(), Some("MW0981"));
}

#[test]
fn two_runs_of_one_product_on_a_server() {
    let mesh = Mesh::published();
    mesh.orders(2000);
    let mut server = mesh.serve();
    let run = || mesh.command(&["run", PRODUCT]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("starts");
    let both = [run(), run()].map(|child| child.wait_with_output().expect("ends"));
    let codes = both.each_ref().map(|output| output.status.code());
    assert!(codes.contains(&Some(0)), "{both:?}");
    for output in both.iter().filter(|output| output.status.code() != Some(0)) {
        assert_eq!(output.status.code(), Some(5), "{output:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("MW04"), "{output:?}");
    }
    assert_eq!(mesh.served(), 2000);
    assert!(server.is_up());
}

#[test]
fn a_client_that_hangs_up_stops_its_run() {
    let mesh = Mesh::published();
    mesh.orders(4);
    // The server passes the fault on to its children.
    let mut command = mesh.command(&["serve", "--http", "127.0.0.1:0", "--pg", "off"]);
    let mut server = command
        .env("MESHWORK_RUN_FAULT", "after-stage:sleep")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("starts");
    crate::mesh::wait_for("server.json", || std::fs::read(mesh.path().join(".meshwork/server.json")).ok());
    let mut run = mesh.command(&["run", PRODUCT]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("starts");
    crate::mesh::wait_for("the run", || {
        mesh.json(&["runs"]).as_array()?.iter().find(|r| r["state"] == "running").cloned()
    });
    run.kill().expect("killed");
    run.wait().expect("ended");
    crate::mesh::wait_for("its end", || {
        mesh.json(&["runs"]).as_array()?.iter().find(|r| r["state"] == "cancelled").cloned()
    });
    assert_eq!(mesh.served(), 3);
    server.kill().expect("killed");
    server.wait().expect("ended");
}

#[test]
fn a_killed_server_leaves_nothing_in_the_way() {
    let mesh = Mesh::published();
    let server = mesh.serve();
    assert_eq!(server.stop(Signal::KILL), None);
    assert_eq!(mesh.served(), 3);
}
