use meshwork_core::types::ColumnType;

use super::*;

fn of(name: &str, bytes: &[u8]) -> (tempfile::TempDir, SourceFile) {
    let folder = tempfile::tempdir().expect("temp");
    std::fs::write(folder.path().join(name), bytes).expect("writes");
    let file = SourceFile::own(&folder.path().join(name)).expect("a file");
    (folder, file)
}

fn guessed(bytes: &[u8]) -> CsvGuess {
    let (_folder, file) = of("a.csv", bytes);
    csv(&file).expect("guesses")
}

/// The type of each column, in words.
fn types(guess: &CsvGuess) -> Vec<String> {
    let word = |c: &ColumnGuess| match (&c.ty.format, c.ty.time_of_day) {
        (Some(format), _) => format!("{} {} {format}", c.name, c.ty.native),
        (None, true) => format!("{} time", c.name),
        (None, false) => format!("{} {}", c.name, c.ty.native),
    };
    guess.columns.iter().map(word).collect()
}

#[test]
fn dialects() {
    let check = |text: &str, expected: CsvOptions| {
        let found = guessed(text.as_bytes());
        assert_eq!(found.options, expected, "{text:?}: {:?}", found.reasons);
    };
    let default = CsvOptions::default;
    check("id,name\n1,\"a, b\"\n2,c\n", default());
    check("id;amount\n1;2,50\n2;3,75\n", CsvOptions { delimiter: ';', ..default() });
    check("1,5;2,5\n3,5;4,5\n", CsvOptions { delimiter: ';', header: false, ..default() });
    check("id\tname\n1\ta, b\n2\tc\n", CsvOptions { delimiter: '\t', ..default() });
    check("id|name\n1|x\n2|y\n", CsvOptions { delimiter: '|', ..default() });
    check("id;name\n1;'a;b'\n2;'c'\n", CsvOptions { delimiter: ';', quote: Some('\''), ..default() });
    check("id,name\n1,\"a \\\"b\\\", c\"\n2,\"d\"\n", CsvOptions { escape: Some('\\'), ..default() });
    check("# made by x\nid,name\n1,a\n# more\n2,b\n", CsvOptions { comment: Some('#'), ..default() });
    check("Report of May\n\nid,name\n1,a\n2,b\n", CsvOptions { skip: 2, ..default() });
    check("1,a\n2,b\n", CsvOptions { header: false, ..default() });
    check("#id,name\n1,a\n2,b\n", default());
    check("name\nAnna\nBen\n", default());
    check("id,name,city\na,NA,\nb,x,NA\n", default());
}

#[test]
fn encodings() {
    let encoding = |bytes: &[u8]| guessed(bytes).options.encoding;
    assert_eq!(encoding(b"id,name\n1,a\n"), "utf-8");
    assert_eq!(encoding("\u{FEFF}id,name\n1,é\n".as_bytes()), "utf-8");
    let wide: Vec<u8> = "\u{FEFF}id,name\n1,Müller\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    assert_eq!(encoding(&wide), "utf-16");
    let found = guessed(&wide);
    assert_eq!(found.columns[0].name, "id");
    let text = "id,name,city\n1,Müller,Köln\n2,Gößmann,Düsseldorf\n3,Jäger,Lübeck\n";
    let (western, _, _) = encoding_rs::WINDOWS_1252.encode(text);
    assert_eq!(encoding(&western), "windows-1252");
}

#[test]
fn types_and_nulls_with_evidence() {
    let mut text = String::from("id,amount,ratio,zip,on,at,seen,us,ok,nan,note,t\n");
    for n in 0..40u32 {
        let null = |value: String| if n % 7 == 3 { "NA".to_owned() } else { value };
        text.push_str(&format!(
            "{n},{n}.50,{}.{n},0{:04},2024-01-{:02},2024-01-01T00:00:{n:02}Z,2024-01-01 00:00:{n:02},{}/{}/24 {}:05,{},{},{},{:02}:30\n",
            n,
            n * 31,
            n % 28 + 1,
            n % 12 + 1,
            n % 28 + 1,
            n % 12,
            if n % 2 == 0 { "yes" } else { "no" },
            null(format!("{}", n * 3)),
            if n == 9 { "NA" } else { "words" },
            n % 24,
        ));
    }
    let found = guessed(text.as_bytes());
    assert_eq!(
        types(&found),
        [
            "id bigint",
            "amount decimal(18,2)",
            "ratio double",
            "zip text",
            "on date",
            "at timestamp with time zone",
            "seen timestamp",
            "us timestamp %m/%d/%y %H:%M:%S%.f",
            "ok boolean",
            "nan bigint",
            "note text",
            "t time",
        ]
        .map(|line| line.replace("%H:%M:%S%.f", "%H:%M"))
    );
    assert_eq!(found.options.null, ["NA"]);
    let reason = found.reasons.iter().find(|r| r.about == "null").expect("a reason");
    assert!(
        reason.because.contains("7 times, in 1 column ") && reason.because.contains("1 column of texts"),
        "{reason:?}"
    );
    let of = |name: &str| found.columns.iter().find(|c| c.name == name).expect("a column");
    assert_eq!((of("nan").nulls, of("note").nulls, of("id").nulls), (6, 1, 0));
    assert!(of("zip").because.contains("leading zeros"));
    assert_eq!((found.rows, found.complete), (40, true));
}

#[test]
fn what_cannot_be_told_is_text() {
    let days = column("d", [Some("01/02/2024"), Some("03/04/2024")]);
    assert_eq!(days.ty, TextType::plain(ColumnType::Text));
    assert!(days.because.contains("cannot be told apart"), "{}", days.because);
    let told = column("d", [Some("01/02/2024"), Some("31/04/2023")].into_iter().take(1).chain([Some("30/04/2023")]));
    assert_eq!(told.ty.format.as_deref(), Some("%d/%m/%Y"));
    assert_eq!(column("x", [Some("1"), Some("a")]).ty, TextType::plain(ColumnType::Text));
    assert_eq!(column("x", [None, None]).ty, TextType::plain(ColumnType::Text));
    assert_eq!(column("x", [Some("+491234")]).ty, TextType::plain(ColumnType::Text));
    let big = column("x", [Some("18446744073709551615")]);
    assert_eq!(big.ty.native, ColumnType::Decimal { precision: 20, scale: 0 });
}

#[test]
fn formats() {
    let format_of = |name: &str, bytes: &[u8]| {
        let (_folder, file) = of(name, bytes);
        format(&file).expect("a format")
    };
    let document = |path: &str| Format::JsonDocument { records: vec![path.to_owned()] };
    assert_eq!(format_of("a.csv", b"id,name\n"), Format::Csv);
    assert_eq!(format_of("a.json", b"{\"a\":1}\n{\"a\":2}\n"), Format::Json);
    assert_eq!(format_of("a.json", b" [ {\"a\":1} ]"), Format::Json);
    assert_eq!(format_of("a.json", b"{\n\"type\":\"x\",\"features\":[{\"a\":1},{\"a\":2}]}"), document("$.features"));
    assert_eq!(format_of("a.json", b"{\n\"a\":1}"), document("$"));
    assert_eq!(format_of("a", b"SQLite format 3\0..."), Format::Sqlite);
    assert_eq!(format_of("a", b"Obj\x01.."), Format::Avro);
    assert_eq!(format_of("a", b"PAR1...."), Format::Parquet);
}

/// The pinned options make a run read what was seen.
#[tokio::test]
async fn a_run_reads_what_was_guessed() {
    let (folder, file) = of("a.csv", "Titel\nNr;Größe;Am\n1;2,5;31.12.2023\n2;NA;01.02.2024\n".as_bytes());
    let found = csv(&file).expect("guesses");
    assert_eq!(types(&found), ["Nr bigint", "Größe text", "Am date %d.%m.%Y"]);
    let reading = crate::source::Reading::default();
    let files = crate::source::file::find("in", folder.path(), "a.csv").expect("finds");
    let opened = crate::source::csv::open("in", files, &found.options, &crate::source::Typing::default(), reading);
    let names: Vec<String> = opened.expect("opens").schema().fields().iter().map(|f| f.name().clone()).collect();
    assert_eq!(names, ["Nr", "Größe", "Am"]);
}

#[test]
fn what_means_null_among_texts_is_unlike_them() {
    let rows = |null: &str, other: &dyn Fn(u32) -> String| {
        let row = |n: u32| format!("{n},{}\n", if n.is_multiple_of(5) { null.to_owned() } else { other(n) });
        "id,what\n".to_owned() + &(1..=40).map(row).collect::<String>()
    };
    let word = |n: u32| format!("Boeing {n}");
    let country = |n: u32| ["DE", "FR", "US"][n as usize % 3].to_owned();
    let damage = |n: u32| ["Minor", "Substantial"][n as usize % 2].to_owned();
    for (null, other, expected) in [
        ("NA", &word as &dyn Fn(u32) -> String, Some("NA")),
        ("n/a", &word, Some("n/a")),
        ("-", &word, Some("-")),
        ("?", &damage, Some("?")),
        // Namibia.
        ("NA", &country, None),
        // No damage.
        ("None", &damage, None),
    ] {
        let found = guessed(rows(null, other).as_bytes());
        assert_eq!(found.options.null, expected.map(str::to_owned).into_iter().collect::<Vec<_>>(), "{null}");
    }
}
