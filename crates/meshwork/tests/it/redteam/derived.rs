//! 18: a product that selects masked columns saw masked values already. Whoever reads it sees no more, whatever clear
//! values its agreement grants.

use super::ports::{Ports, differences};
use super::{SAME, people};
use crate::mesh::Mesh;

/// `domain.output`, built from `from`: the same columns, under no classification of its own.
fn derive(mesh: &Mesh, domain: &str, output: &str, from: (&str, &str, &str)) {
    let (from_domain, from_product, from_output) = from;
    let home = format!("domains/{domain}/{output}");
    mesh.write(&format!("domains/{domain}/domain.yaml"), format!("domain: {domain}\nowner: {domain}_team\n"));
    mesh.write(
        &format!("{home}/product.yaml"),
        format!(
            "product: {output}\nversion: 1.0.0\nstatus: active\narchetype: aggregate\ninputs:\n  \
             people: {{ product: {from_domain}.{from_product}, output: {from_output}, version: 1, purpose: test }}\n\
             outputs:\n  {output}: {{ contract: {output}.contract.yaml, sql: {output}.sql }}\n"
        ),
    );
    let contract = people::contract(domain, "1.0.0", false).replace("schema: c", &format!("schema: {output}"));
    mesh.write(&format!("{home}/{output}.contract.yaml"), contract);
    mesh.write(
        &format!("{home}/{output}.sql"),
        "SELECT id, name, concat(email, '') AS email, coalesce(ssn, NULL) AS ssn, salary, region FROM people\n",
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_derived_product_shows_no_more_than_it_saw() {
    let mesh = people::mesh();
    derive(&mesh, "near", "d", ("vault", "people", "c"));
    derive(&mesh, "far", "f", ("near", "d", "d"));
    derive(&mesh, "plain", "e", ("oracle", "people", "c"));
    mesh.ok(&["apply"]);
    for (reader, table) in [("near.d", "vault.c"), ("far.f", "near.d"), ("plain.e", "oracle.c")] {
        mesh.grant(&format!("product:{reader}"), table, &[]);
    }
    for domain in ["vault", "oracle", "near", "far", "plain"] {
        mesh.ok(&["run", domain]);
    }
    mesh.user("zoe");
    mesh.grant("zoe", "plain.e", &[]);
    for table in ["near.d", "far.f"] {
        mesh.grant("zoe", table, &["--clear", "address,national_id,pay"]);
    }
    let server = mesh.serve();
    let ports = Ports::of(&mesh, &server, "zoe").await;
    let mut different = Vec::new();
    for sql in SAME {
        let oracle = ports.ask_server(&sql.replace("{c}", "plain.e")).await;
        for table in ["near.d", "far.f"] {
            let derived = ports.ask_server(&sql.replace("{c}", table)).await;
            different.extend(differences(sql, (table, "plain.e"), &derived, &oracle));
        }
    }
    assert!(different.is_empty(), "{}", different.join("\n"));
    let all = ports.http("SELECT * FROM far.f ORDER BY id").await.expect("rows");
    assert_eq!(people::ids(&all), [1, 3, 5, 6]);
    for secret in people::SECRETS {
        assert!(!all.to_string().contains(secret), "{secret} in {all}");
    }
}
