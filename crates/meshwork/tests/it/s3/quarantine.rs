//! Rows that are set aside lie in the bucket of their table.

use std::collections::BTreeSet;

use super::{Lake, holding};
use crate::mesh::PRODUCT;
use crate::quarantine::{list, orders, put, rows_of, shop};

impl Lake {
    /// The shop with bad rows set aside, applied.
    fn setting_aside(mode: &str) -> Self {
        let lake = Self::of(shop(mode));
        lake.mesh.ok(&["apply"]);
        lake
    }

    /// Runs that have files in the quarantine.
    fn set_aside(&self) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        super::walk(&self.server.bucket("lake"), &mut |file| {
            let path = file.to_string_lossy();
            if let Some((_, rest)) = path.split_once("/quarantine/v1/") {
                found.extend(rest.split_once('/').map(|(run, _)| run.to_owned()));
            }
        });
        found
    }
}

#[test]
fn bad_rows_are_seen_repaired_and_released_in_a_bucket() {
    let lake = Lake::setting_aside("append");
    let mesh = &lake.mesh;
    put(mesh, "1", &["1,ann,10,paid", "2,bob,-5,paid", "3,cid,x,open", "4,dee,40,open"]);
    mesh.ok(&["run", PRODUCT]);
    assert_eq!(orders(mesh), ["1,ann,10,paid", "4,dee,40,open"]);
    let entry = list(mesh, &[])[0].clone();
    assert_eq!((entry["rows"].as_u64(), entry["open_rows"].as_u64()), (Some(2), Some(2)));
    let run = entry["run"].as_str().expect("a run").to_owned();
    assert_eq!(lake.set_aside(), BTreeSet::from([run.clone()]));
    assert!(!mesh.path().join("data").exists(), "nothing lies in the mesh's own folder");
    let rows = rows_of(mesh, &["quarantine", "show", &run]);
    assert_eq!((&rows[0]["order_id"], &rows[0]["_quarantine_file"]), (&2.into(), &"files/orders-1.csv".into()));
    assert_eq!(rows[1]["_quarantine_raw"], r#"{"amount":"x"}"#);

    let csv = mesh.ok(&["quarantine", "show", &run, "-o", "csv"]).replace("-5.0", "5.0");
    mesh.write("fixed.csv", csv);
    let fixed = mesh.path().join("fixed.csv");
    let release = ["quarantine", "release", &run, "--with", fixed.to_str().expect("text")];
    let said = mesh.meshwork(&release);
    assert!(format!("{}{}", said.out, said.err).contains("1 of 2 rows released"), "{said:?}");
    assert_eq!(orders(mesh), ["1,ann,10,paid", "2,bob,5,paid", "4,dee,40,open"]);
    let again = mesh.meshwork(&release);
    assert!(!format!("{}{}", again.out, again.err).contains(" 1 of"), "twice does not double: {again:?}");
    assert_eq!((orders(mesh).len(), list(mesh, &[])[0]["open_rows"].as_u64()), (3, Some(1)));
    mesh.write("last.jsonl", "{\"_quarantine_row\": 2, \"amount\": 30}\n");
    let last = mesh.path().join("last.jsonl");
    mesh.ok(&["quarantine", "release", PRODUCT, "--with", last.to_str().expect("text")]);
    assert_eq!((orders(mesh).len(), list(mesh, &[]).len()), (4, 0));
    assert_eq!(holding(&mesh.path().join(".meshwork/tmp"), "PAR1"), [""; 0], "nothing is left of it here");
}

#[test]
fn killed_while_setting_aside_and_releasing_in_a_bucket() {
    let lake = Lake::setting_aside("merge");
    let mesh = &lake.mesh;
    put(mesh, "0", &["1,ann,10,paid", "2,bob,20,paid"]);
    mesh.ok(&["run", PRODUCT]);
    let own = ["run.verdict_stored", "run.committed"].map(|step| ("MESHWORK_FAULT", step));
    let child = ["after-quarantine", "before-commit", "after-commit"].map(|step| ("MESHWORK_RUN_FAULT", step));
    let mut good = 2;
    for (at, (variable, step)) in own.into_iter().chain(child).enumerate() {
        let (fine, bad) = (100 + 2 * at, 101 + 2 * at);
        put(mesh, &format!("{}", at + 1), &[&format!("{fine},new,1,paid"), &format!("{bad},new,1,lost")]);
        mesh.with_env(&[(variable, step)], &["run", PRODUCT]);
        let (served, open) = (orders(mesh).len(), list(mesh, &[]).len());
        assert!((served, open) == (good, 0) || (served, open) == (good + 1, 1), "{step}: {served}, {open}");
        mesh.ok(&["run", PRODUCT]);
        let entries = list(mesh, &[]);
        assert_eq!((orders(mesh).len(), entries.len()), (good + 1, 1), "{step}");
        let run = entries[0]["run"].as_str().expect("a run").to_owned();
        // What a killed run set aside goes, what is open stays.
        mesh.ok(&["maintain", "--only", "vacuum"]);
        let known = list(mesh, &["--all"]).iter().map(|e| e["run"].as_str().expect("a run").to_owned()).collect();
        assert_eq!(lake.set_aside(), known, "{step}");
        assert_eq!(lake.orphans(), BTreeSet::new(), "{step}");
        mesh.write("fixed.csv", "_quarantine_row,status\n1,paid\n");
        let fixed = mesh.path().join("fixed.csv");
        let release = ["quarantine", "release", &run, "--with", fixed.to_str().expect("text")];
        mesh.with_env(&[(variable, step)], &release);
        let (served, open) = (orders(mesh).len(), list(mesh, &[]).len());
        assert!((served, open) == (good + 1, 1) || (served, open) == (good + 2, 0), "release, {step}");
        mesh.meshwork(&release);
        good += 2;
        assert_eq!((orders(mesh).len(), list(mesh, &[]).len()), (good, 0), "release, {step}");
    }
}
