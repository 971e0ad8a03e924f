//! Deletion vectors: rows of a file that its Delta table no longer has, as bitmaps in the log or in files of their own.
//! https://github.com/delta-io/delta/blob/master/PROTOCOL.md#deletion-vector-format

use std::ops::Range;

use flate2::Crc;
use meshwork_core::error::{Error, Result};
use parquet::arrow::arrow_reader::{RowSelection, RowSelector};
use roaring::RoaringTreemap;
use serde::{Deserialize, Serialize};

use super::pinned::{Pin, Reach, unopened};

/// The rows of a file that are deleted, and where the list of them lies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deleted {
    #[serde(flatten)]
    pub list: List,
    /// Of a list in a file, its magic number included.
    pub bytes: u32,
    /// How many rows are deleted, and of how many.
    pub rows: u64,
    pub of: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum List {
    InLog {
        /// As Z85.
        inline: String,
    },
    InFile {
        #[serde(flatten)]
        pin: Pin,
        offset: u64,
    },
}

/// Bitmaps in the portable format.
const MAGIC: u32 = 1_681_511_377;

impl Deleted {
    /// The rows that are left, as a scan of the file takes them.
    pub async fn selection(&self, reach: &Reach) -> Result<RowSelection> {
        let bitmap = match &self.list {
            List::InLog { inline } => z85::decode(inline).map_err(|_| broken("its text is no Z85"))?,
            List::InFile { pin, offset } => {
                let framed = *offset..offset.saturating_add(u64::from(self.bytes) + 8);
                if framed.end > pin.identity.size() {
                    return Err(broken("it ends beyond its file"));
                }
                let read = reach.read(pin, std::slice::from_ref(&framed)).await.map_err(|error| unopened(&error))?;
                unframed(&read.concat(), self.bytes)?
            }
        };
        self.left(&bitmap)
    }

    fn left(&self, bitmap: &[u8]) -> Result<RowSelection> {
        let (magic, bitmap) = bitmap.split_first_chunk::<4>().ok_or_else(|| broken("it is cut off"))?;
        if u32::from_le_bytes(*magic) != MAGIC {
            return Err(broken("it is of another format"));
        }
        let rows = RoaringTreemap::deserialize_from(bitmap).map_err(|_| broken("its bitmap is damaged"))?;
        if rows.len() != self.rows || rows.max().is_some_and(|last| last >= self.of) {
            return Err(broken("it deletes other rows than the file has or the log says"));
        }
        let length = |range: Range<u64>| usize::try_from(range.end - range.start).unwrap_or(usize::MAX);
        let mut left: Vec<RowSelector> = Vec::new();
        let mut at = 0;
        for row in rows {
            if at < row {
                left.push(RowSelector::select(length(at..row)));
            }
            match left.last_mut().filter(|last| last.skip) {
                Some(last) => last.row_count += 1,
                None => left.push(RowSelector::skip(1)),
            }
            at = row + 1;
        }
        if at < self.of {
            left.push(RowSelector::select(length(at..self.of)));
        }
        Ok(left.into())
    }
}

/// The bitmap of a list in a file: before it stands its length, behind it its checksum, both with the high byte first.
fn unframed(framed: &[u8], bytes: u32) -> Result<Vec<u8>> {
    let cut_off = || broken("it is cut off");
    let (length, rest) = framed.split_first_chunk::<4>().ok_or_else(cut_off)?;
    let (bitmap, checksum) = rest.split_last_chunk::<4>().ok_or_else(cut_off)?;
    if u32::from_be_bytes(*length) != bytes {
        return Err(broken("its file and the log differ about its length"));
    }
    let mut crc = Crc::new();
    crc.update(bitmap);
    if crc.sum() != u32::from_be_bytes(*checksum) {
        return Err(broken("its checksum does not fit"));
    }
    Ok(bitmap.to_vec())
}

/// The name of the file that a list lies in, below the table's folder, from what the log says: `<folder?><Z85 of a UUID>`.
pub fn file_name(text: &str) -> Result<String> {
    let unknown = || broken("it is in no file that is known");
    let (folder, uuid) = text.len().checked_sub(20).and_then(|at| text.split_at_checked(at)).ok_or_else(unknown)?;
    let uuid = z85::decode(uuid).ok().and_then(|bytes| uuid::Uuid::from_slice(&bytes).ok()).ok_or_else(unknown)?;
    if folder.contains(['/', '\\', '.']) {
        return Err(unknown());
    }
    let folder = if folder.is_empty() { String::new() } else { format!("{folder}/") };
    Ok(format!("{folder}deletion_vector_{uuid}.bin"))
}

fn broken(why: &str) -> Error {
    Error::environment("MW0537", format!("a deletion vector of a Delta table cannot be read: {why}"))
        .hint("check that all files of the table are there, or read it with `mode: full`")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bitmap(rows: &[u64]) -> Vec<u8> {
        let mut out = MAGIC.to_le_bytes().to_vec();
        RoaringTreemap::from_iter(rows.iter().copied()).serialize_into(&mut out).unwrap();
        out
    }

    fn of(rows: &[u64], file_rows: u64) -> (Deleted, Vec<u8>) {
        let bitmap = bitmap(rows);
        let list = List::InLog { inline: String::new() };
        (Deleted { list, bytes: bitmap.len() as u32, rows: rows.len() as u64, of: file_rows }, bitmap)
    }

    fn ranges(selection: &RowSelection) -> Vec<(bool, usize)> {
        selection.iter().map(|part| (!part.skip, part.row_count)).collect()
    }

    #[test]
    fn rows_that_are_left() {
        let left = |rows: &[u64], file_rows| {
            let (deleted, bitmap) = of(rows, file_rows);
            ranges(&deleted.left(&bitmap).unwrap())
        };
        assert_eq!(left(&[1, 2, 5], 8), [(true, 1), (false, 2), (true, 2), (false, 1), (true, 2)]);
        assert_eq!(left(&[0, 7], 8), [(false, 1), (true, 6), (false, 1)]);
        assert_eq!(left(&[0, 1], 2), [(false, 2)]);
        assert_eq!(left(&[], 3), [(true, 3)]);
        // The example of the protocol: the rows 3, 4, 7, 11, 18 and 29.
        let inline = "^Bg9^0rr910000000000iXQKl0rr91000f55c8Xg0@@D72lkbi5=-{L";
        let deleted = Deleted { list: List::InLog { inline: inline.into() }, bytes: 40, rows: 6, of: 30 };
        let skipped: usize = ranges(&deleted.left(&z85::decode(inline).unwrap()).unwrap())
            .iter()
            .filter(|(kept, _)| !kept)
            .map(|(_, rows)| rows)
            .sum();
        assert_eq!(skipped, 6);
    }

    #[test]
    fn lists_that_do_not_hold_are_refused() {
        let (deleted, bytes) = of(&[1, 5], 8);
        for (change, bytes) in [
            (Deleted { rows: 3, ..deleted.clone() }, bytes.clone()),
            (Deleted { of: 5, ..deleted.clone() }, bytes.clone()),
            (deleted.clone(), bytes[..bytes.len() - 1].to_vec()),
            (deleted.clone(), bytes[1..].to_vec()),
            (deleted, Vec::new()),
        ] {
            assert_eq!(change.left(&bytes).unwrap_err().code, "MW0537", "{change:?}");
        }
    }

    #[tokio::test]
    async fn a_list_in_a_file_has_a_checksum() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("d.bin");
        let (deleted, bitmap) = of(&[2], 4);
        let mut crc = Crc::new();
        crc.update(&bitmap);
        let mut file = vec![1];
        file.extend((bitmap.len() as u32).to_be_bytes());
        file.extend(&bitmap);
        file.extend(crc.sum().to_be_bytes());
        let read = async |bytes: &[u8]| {
            std::fs::write(&path, bytes).unwrap();
            let identity = super::super::FileIdentity::of(&std::fs::metadata(&path).unwrap());
            let list = List::InFile { pin: Pin { path: path.clone(), identity }, offset: 1 };
            let deleted = Deleted { list, ..deleted.clone() };
            let again: Deleted = serde_json::from_str(&serde_json::to_string(&deleted).unwrap()).unwrap();
            assert_eq!(again, deleted);
            deleted.selection(&Reach::Here).await.map(|selection| ranges(&selection))
        };
        assert_eq!(read(&file).await, Ok(vec![(true, 2), (false, 1), (true, 1)]));
        let cut = file[..file.len() - 1].to_vec();
        let last = file.len() - 6;
        file[last] ^= 1;
        for wrong in [file, cut] {
            assert_eq!(read(&wrong).await.unwrap_err().code, "MW0537");
        }
    }

    #[test]
    fn files_are_named_by_what_the_log_says() {
        assert_eq!(
            file_name("ab^-aqEH.-t@S}K{vb[*k^").unwrap(),
            "ab/deletion_vector_d2c639aa-8816-431a-aaf6-d3fe2512ff61.bin"
        );
        assert_eq!(
            file_name("vBn[lx{q8@P<9BNH/isA").unwrap(),
            "deletion_vector_61d16c75-6994-46b7-a15b-8b538852e50e.bin"
        );
        for wrong in ["", "short", "../vBn[lx{q8@P<9BNH/isA", "ééééééééééééé"] {
            assert!(file_name(wrong).is_err(), "{wrong}");
        }
    }
}
