//! 18: a product that selects masked columns saw masked values already. Whoever reads it sees no more, whatever clear
//! values its agreement grants.

use super::ports::{Ports, differences};
use super::{SAME, people};

#[tokio::test(flavor = "multi_thread")]
async fn a_derived_product_shows_no_more_than_it_saw() {
    let mesh = people::mesh();
    people::derived(&mesh, "near", "d", ("vault", "people", "c"));
    people::derived(&mesh, "far", "f", ("near", "d", "d"));
    people::derived(&mesh, "plain", "e", ("oracle", "people", "c"));
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

/// A view over the table, one over that view, and one over the bare rows with the policy of its own: as the oracle.
#[tokio::test(flavor = "multi_thread")]
async fn a_view_shows_no_more_than_a_table_would() {
    let mesh = people::mesh();
    people::view(&mesh, "near", "d", ("vault", "people", "c"));
    people::view(&mesh, "far", "f", ("near", "d", "d"));
    // Nobody reads `open.c`, which has the rows in the clear, but the product whose view says what is personal in it.
    people::write_product(&mesh, "open", "1.0.0", false);
    people::write_rows(&mesh, "open", true, 1);
    people::view(&mesh, "guard", "g", ("open", "people", "c"));
    let contract = people::contract("guard", "1.0.0", true).replace("schema: c", "schema: g");
    mesh.write("domains/guard/g/g.contract.yaml", contract);
    let manifest = std::fs::read_to_string(mesh.path().join("domains/guard/g/product.yaml")).expect("there");
    let outputs = format!("  g:\n    contract: g.contract.yaml\n    sql: g.sql\n    mode: view\n{}", people::FILTER);
    let (head, _) = manifest.split_once("  g: {").expect("an output");
    mesh.write("domains/guard/g/product.yaml", format!("{head}{outputs}"));
    mesh.write("domains/guard/g/g.sql", "SELECT p.* FROM people p\n");
    people::derived(&mesh, "plain", "e", ("oracle", "people", "c"));
    mesh.ok(&["apply"]);
    let reads = [("near.d", "vault.c"), ("far.f", "near.d"), ("guard.g", "open.c"), ("plain.e", "oracle.c")];
    for (reader, table) in reads {
        mesh.grant(&format!("product:{reader}"), table, &[]);
    }
    for domain in ["vault", "oracle", "open", "near", "far", "guard", "plain"] {
        mesh.ok(&["run", domain]);
    }
    mesh.user("zoe");
    for table in ["plain.e", "oracle.c", "guard.g"] {
        mesh.grant("zoe", table, &[]);
    }
    for table in ["near.d", "far.f"] {
        mesh.grant("zoe", table, &["--clear", "address,national_id,pay"]);
    }
    let server = mesh.serve();
    let ports = Ports::of(&mesh, &server, "zoe").await;
    let (mut different, mut answered) = (Vec::new(), 0);
    for (at, sql) in SAME.into_iter().enumerate() {
        // What stands over two views is asked less often.
        let over = if at % 4 == 0 { &["near.d", "far.f"][..] } else { &["near.d"] };
        for (oracle, tables) in [("plain.e", over), ("oracle.c", &["guard.g"])] {
            let expected = ports.ask_server(&sql.replace("{c}", oracle)).await;
            answered += expected.values().filter(|answer| answer.is_ok()).count();
            for table in tables {
                let viewed = ports.ask_server(&sql.replace("{c}", table)).await;
                different.extend(differences(sql, (table, oracle), &viewed, &expected));
            }
        }
    }
    assert!(different.is_empty(), "{}", different.join("\n"));
    assert!(answered > 6 * SAME.len() * 3 / 4, "only {answered} answers");
    for table in ["near.d", "far.f", "guard.g"] {
        let all = ports.http(&format!("SELECT * FROM {table} ORDER BY id")).await.expect("rows");
        assert_eq!(people::ids(&all), [1, 3, 5, 6], "{table}");
        for secret in people::SECRETS {
            assert!(!all.to_string().contains(secret), "{secret} in {all}");
        }
        for explain in ["EXPLAIN", "EXPLAIN ANALYZE", "EXPLAIN VERBOSE"] {
            for (port, answer) in ports.ask_server(&format!("{explain} SELECT ssn FROM {table}")).await {
                let shown = format!("{answer:?}");
                for leak in ["parquet", "EU", "region", "show", "file", "data/", "people", "vault", "open", "coalesce"]
                {
                    assert!(!shown.contains(leak), "{port}: {explain} of {table} shows {leak}: {shown}");
                }
            }
        }
    }
    for sql in ["SELECT * FROM vault.c", "SELECT * FROM open.c", "SELECT * FROM people", "SELECT * FROM public.people"]
    {
        for (port, answer) in ports.ask_server(sql).await {
            assert!(answer.is_err(), "{port} answered {sql}: {answer:?}");
        }
    }
}
