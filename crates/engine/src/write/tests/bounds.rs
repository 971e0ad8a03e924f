//! A run that needs more than it may use says of what, and leaves nothing.

use super::*;

#[tokio::test]
async fn beyond_its_memory_and_its_temporary_space_a_run_says_which() {
    let mesh = Mesh::new();
    mesh.file("a.csv", GOOD);
    let sorted = "SELECT r.lead_id, repeat('x', 200) AS source, cast(a.value AS int) AS score \
                  FROM generate_series(1, 100000) a, raw r ORDER BY a.value % 7, r.lead_id";
    let within = async |memory_bytes, spill_bytes| {
        let mut spec = mesh.spec("run-1", None, leads(), sorted);
        (spec.limits.memory_bytes, spec.limits.spill_bytes) = (memory_bytes, spill_bytes);
        mesh.stage(&spec).await.map(|report| report.outputs[0].rows)
    };
    let error = within(1 << 20, 1 << 20).await.expect_err("too little");
    assert_eq!((error.code.as_str(), error.message.contains("temporary space")), ("MW0611", true), "{error}");
    assert_eq!(mesh.data_files(), 0);
    assert_eq!(within(16 << 20, 1 << 30).await.expect("enough to sort in parts"), 300_000);
}
