//! Before a mesh says that its tables lie in a bucket, `apply` has asked the store: nothing is recorded of one that is not
//! fit, and the error says where it is declared.

use meshwork_testkit::{S3, S3Proxy};

use super::{Lake, holding};
use crate::mesh::{Mesh, PRODUCT};

/// Fails with this code at the line of the shop's storage, and leaves the mesh at this revision.
fn refused(mesh: &Mesh, code: &str, revision: u64) {
    let said = mesh.fails(3, &["apply"]);
    assert_eq!(said.error_code(), Some(code), "{}", said.err);
    assert!(said.err.contains("domains/shop/domain.yaml:4:17"), "{}", said.err);
    assert!(said.err.contains("nothing was applied") && !said.err.contains(S3::KEY), "{}", said.err);
    assert_eq!(mesh.json(&["plan"])["base"].as_u64(), Some(revision));
}

#[test]
fn a_store_that_is_not_fit_is_refused_before_anything_is_recorded() {
    let lake = Lake::shop();
    let mesh = &lake.mesh;
    lake.create_twice();
    // A plan asks nobody.
    lake.proxy.requests();
    mesh.ok(&["plan"]);
    assert!(lake.proxy.requests().is_empty());
    refused(mesh, "MW0617", 0);
    assert_eq!(holding(&lake.server.bucket("lake"), "writer"), [""; 0], "what it wrote to find out is gone");
    lake.proxy.pass();
    mesh.ok(&["apply"]);
    lake.proxy.requests();
    let product = mesh.path().join("domains/shop/orders/product.yaml");
    let text = std::fs::read_to_string(&product).expect("there");
    std::fs::write(&product, text.replace("Orders of the shop", "All orders")).expect("written");
    mesh.ok(&["apply"]);
    assert!(lake.proxy.requests().is_empty(), "nothing about the storage has changed");
    mesh.ok(&["run", PRODUCT]);

    // Another way to the same bucket, which drops the condition.
    let other = S3Proxy::start(lake.server.port()).expect("a proxy");
    let aside = Lake { proxy: other, server: lake.server, mesh: Mesh::shop() };
    aside.join(mesh);
    aside.create_twice();
    refused(mesh, "MW0617", 2);
    assert_eq!(mesh.served(), 3, "as it was");
}

#[test]
fn a_store_that_cannot_be_used_is_named_with_its_place() {
    let lake = Lake::shop();
    let mesh = &lake.mesh;
    mesh.write(".meshwork/secrets/shop/lake_key", "wrong");
    refused(mesh, "MW0546", 0);
    std::fs::remove_file(mesh.path().join(".meshwork/secrets/shop/lake_key")).expect("removed");
    refused(mesh, "MW0530", 0);
    mesh.write(".meshwork/secrets/shop/lake_key", S3::KEY);
    let domain = mesh.path().join("domains/shop/domain.yaml");
    let text = std::fs::read_to_string(&domain).expect("there");
    std::fs::write(&domain, text.replace("s3://lake/", "s3://none/")).expect("written");
    refused(mesh, "MW0546", 0);
    // Nobody listens there.
    let port =
        std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port").port();
    let here = format!("127.0.0.1:{}", lake.proxy.port());
    let there = format!("127.0.0.1:{port}");
    std::fs::write(&domain, text.replace(&here, &there)).expect("written");
    mesh.write("mesh.yaml", format!("name: shop_mesh\nstorage: data\negress: [{there:?}]\n"));
    refused(mesh, "MW0541", 0);
}
