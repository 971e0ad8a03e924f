//! The frame of an object container file: a header, then blocks of records, each closed by the file's marker.

use std::io::{self, Read};

use meshwork_core::Result;

use super::damaged;
use crate::source::content;
use crate::source::file::SourceFile;

/// How many records the file says it has, after seeing that its last block is whole.
pub fn records(file: &SourceFile) -> Result<i64> {
    let mut input = io::BufReader::with_capacity(256 << 10, content::bytes(file)?);
    count(&mut input).map_err(|error| match error.get_ref() {
        // A damaged compressed file says so itself.
        Some(inner) if inner.is::<meshwork_core::Error>() => file.unreadable(&error),
        _ => damaged(file),
    })
}

fn count(input: &mut impl Read) -> io::Result<i64> {
    // The magic bytes were looked at when the file was opened.
    skip(input, 4)?;
    loop {
        match long(input)?.ok_or(io::ErrorKind::UnexpectedEof)? {
            0 => break,
            // A negative count comes with the size of the pairs.
            pairs if pairs < 0 => {
                let size = long(input)?.ok_or(io::ErrorKind::UnexpectedEof)?;
                skip(input, size)?;
            }
            pairs => {
                for _ in 0..pairs.saturating_mul(2) {
                    let size = long(input)?.ok_or(io::ErrorKind::UnexpectedEof)?;
                    skip(input, size)?;
                }
            }
        }
    }
    let mut marker = [0; 16];
    input.read_exact(&mut marker)?;
    let mut total = 0i64;
    while let Some(records) = long(input)? {
        let size = long(input)?.ok_or(io::ErrorKind::UnexpectedEof)?;
        skip(input, size)?;
        let mut found = [0; 16];
        input.read_exact(&mut found)?;
        if found != marker || records < 0 {
            return Err(io::ErrorKind::InvalidData.into());
        }
        total = total.checked_add(records).ok_or(io::ErrorKind::InvalidData)?;
    }
    Ok(total)
}

fn skip(input: &mut impl Read, bytes: i64) -> io::Result<()> {
    let bytes = u64::try_from(bytes).map_err(|_| io::ErrorKind::InvalidData)?;
    let skipped = io::copy(&mut input.take(bytes), &mut io::sink())?;
    if skipped == bytes { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

/// A number in zigzag and groups of seven bits; `None` at the end of the file.
fn long(input: &mut impl Read) -> io::Result<Option<i64>> {
    let mut value = 0u64;
    for place in 0..10 {
        let mut byte = [0];
        match input.read(&mut byte)? {
            0 if place == 0 => return Ok(None),
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            _ => {}
        }
        value |= u64::from(byte[0] & 0x7F) << (7 * place);
        if byte[0] & 0x80 == 0 {
            return Ok(Some((value >> 1).cast_signed() ^ -((value & 1).cast_signed())));
        }
    }
    Err(io::ErrorKind::InvalidData.into())
}
