use super::*;

#[test]
fn limits_as_people_write_them() {
    let parsed = |text: &str| QuarantineLimit::parse(text).map(|limit| limit.to_string());
    for (text, shown) in [
        ("1%", "1 %"),
        ("0.5 %", "0.5 %"),
        ("0.01", "1 %"),
        ("0.000001", "0.0001 %"),
        ("100%", "100 %"),
        ("0%", "0 %"),
        ("1", "1 row"),
        ("500", "500 rows"),
        ("0", "0 rows"),
    ] {
        assert_eq!(parsed(text).as_deref(), Some(shown), "{text}");
    }
    for wrong in ["", "%", "-1", "1.5", "101%", "0.0000001", "1e3", "one", "1.%x", ".5", "+1", "1 000"] {
        assert_eq!(parsed(wrong), None, "{wrong}");
    }
}

#[test]
fn a_limit_is_exact() {
    let limit = |text: &str| QuarantineLimit::parse(text).expect("a limit");
    assert!(limit("1%").allows(1, 100) && !limit("1%").allows(1, 99) && !limit("1%").allows(2, 199));
    // 0.29 × 100 is less than 29 in binary floats.
    assert!(limit("0.29").allows(29, 100) && limit("29%").allows(29, 100) && !limit("29%").allows(30, 100));
    assert!(limit("2").allows(2, 2) && !limit("2").allows(3, 1_000_000));
    assert!(limit("0").allows(0, 0) && !limit("0%").allows(1, u64::MAX));
    assert!(limit("100%").allows(u64::MAX, u64::MAX));
}

#[test]
fn rows_are_ranges() {
    let rows = Rows::of([5, 1, 2, 3, 2, 9]);
    assert_eq!(serde_json::to_string(&rows).expect("json"), "[[1,3],[5,5],[9,9]]");
    assert_eq!(rows.len(), 5);
    let inside: Vec<u64> = (0..12).filter(|row| rows.contains(*row)).collect();
    assert_eq!(inside, [1, 2, 3, 5, 9]);
    assert_eq!(rows.and(&Rows::of([4, 10])), Rows::of([1, 2, 3, 4, 5, 9, 10]));
    assert!(rows.meets(&Rows::of([3, 4])) && !rows.meets(&Rows::of([4, 6, 7, 8])));
    assert!(Rows::default().is_empty() && !Rows::default().contains(0));
}

#[test]
fn it_lies_beside_its_table() {
    let table = TableLocation::of("file:///data", &OutputId::new("0199"), 2);
    assert_eq!(location(&table).url(), "file:///data/0199/quarantine/v2");
}
