use std::io::Write;

use super::*;

fn file(bytes: &[u8]) -> (tempfile::TempDir, SourceFile) {
    let folder = tempfile::tempdir().expect("temp");
    let path = folder.path().join("a.csv");
    std::fs::write(&path, bytes).expect("writes");
    (folder, SourceFile::own(&path).expect("a file"))
}

fn read(bytes: &[u8], label: &str) -> Result<String, String> {
    let (_folder, file) = file(bytes);
    let mut text = String::new();
    let mut content = super::text(&file, encoding(label).expect("a label")).map_err(|error| error.to_string())?;
    content.read_to_string(&mut text).map_err(|error| file.unreadable(&error).to_string())?;
    Ok(text)
}

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(text.as_bytes()).expect("packs");
    encoder.finish().expect("packs")
}

#[test]
fn every_compression_by_its_magic_bytes() {
    let text = "id,name\n1,é\n".repeat(1000);
    let mut bzip = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
    bzip.write_all(text.as_bytes()).expect("packs");
    let mut xz = liblzma::write::XzEncoder::new(Vec::new(), 1);
    xz.write_all(text.as_bytes()).expect("packs");
    let packed = [
        (Compression::Gzip, gzip(&text)),
        (Compression::Zstd, zstd::encode_all(text.as_bytes(), 1).expect("packs")),
        (Compression::Bzip2, bzip.finish().expect("packs")),
        (Compression::Xz, xz.finish().expect("packs")),
    ];
    for (kind, bytes) in packed {
        assert_eq!(Compression::of(&bytes), Some(kind));
        assert_eq!(read(&bytes, "utf-8").as_deref(), Ok(text.as_str()), "{kind:?}");
        // Several members in one file, as concatenation makes them.
        assert_eq!(read(&[bytes.clone(), bytes.clone()].concat(), "utf-8"), Ok(text.repeat(2)), "{kind:?} twice");
        let cut = read(&bytes[..bytes.len() - 9], "utf-8").expect_err("cut off");
        assert!(cut.starts_with("MW0532: `a.csv` is a damaged compressed file"), "{kind:?}: {cut}");
    }
    assert_eq!(read(b"BZh9,x\n", "utf-8").as_deref(), Ok("BZh9,x\n"));
    assert_eq!(read(b"", "utf-8").as_deref(), Ok(""));
}

#[test]
fn declared_encodings() {
    let (western, _, _) = encoding_rs::WINDOWS_1252.encode("Müller €");
    assert_eq!(read(&western, "windows-1252").as_deref(), Ok("Müller €"));
    assert_eq!(read(&western, "iso-8859-1").as_deref(), Ok("Müller €"));
    assert_eq!(read(b"10 \xA4", "iso-8859-15").as_deref(), Ok("10 €"));
    let little: Vec<u8> = "\u{FEFF}aß\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let big: Vec<u8> = "\u{FEFF}aß\n".encode_utf16().flat_map(u16::to_be_bytes).collect();
    for bytes in [&little, &big] {
        assert_eq!(read(bytes, "utf-16").as_deref(), Ok("aß\n"));
    }
    assert_eq!(read(&little[2..], "utf-16").as_deref(), Ok("aß\n"), "without a mark: little endian");
    assert!(read(&little, "utf-8").expect_err("wide").starts_with("MW0504: `a.csv` is UTF-16"));
    assert_eq!(read(&[&b"\x1f\x8b"[..], &gzip("x")[2..]].concat(), "windows-1252").as_deref(), Ok("x"));
    let odd = read(&[&little[..], b"\x00"].concat(), "utf-16").expect_err("half a character");
    assert_eq!(odd, "MW0504: `a.csv`, line 2: not valid UTF-16LE");
    let surrogate: Vec<u8> = [0x61u16, 0xD800, 0x62].iter().flat_map(|unit| unit.to_le_bytes()).collect();
    assert!(read(&surrogate, "utf-16").is_err(), "never a replacement character");
}
