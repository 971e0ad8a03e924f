//! Which encoding a text is in.

use chardetng::{EncodingDetector, Iso2022JpDetection, Utf8Detection};
use encoding_rs::{Encoding, UTF_8, UTF_16BE, UTF_16LE};

use super::Reason;
use crate::source::content::fits;

/// More says no more.
const LOOKED_AT: usize = 8 << 20;

pub(super) fn guess(bytes: &[u8], complete: bool, reasons: &mut Vec<Reason>) -> &'static Encoding {
    let (encoding, because) = decide(bytes, complete);
    reasons.push(Reason { about: "encoding", because });
    encoding
}

fn decide(bytes: &[u8], complete: bool) -> (&'static Encoding, String) {
    if let Some((encoding, _)) = Encoding::for_bom(bytes) {
        return (encoding, "the file starts with a byte order mark".to_owned());
    }
    // Text of Western scripts in UTF-16 is every other byte zero.
    let zeros = |offset: usize| bytes.iter().skip(offset).step_by(2).take(2048).filter(|b| **b == 0).count();
    let looked_at = (bytes.len() / 2).min(2048);
    for (offset, encoding) in [(1, UTF_16LE), (0, UTF_16BE)] {
        if looked_at > 0 && zeros(offset) * 10 > looked_at * 4 && zeros(1 - offset) == 0 {
            return (encoding, "every other byte is zero".to_owned());
        }
    }
    if bytes.is_ascii() {
        return (UTF_8, "ASCII only".to_owned());
    }
    if fits(bytes, UTF_8, complete) {
        return (UTF_8, "every byte sequence is valid UTF-8".to_owned());
    }
    let mut detector = EncodingDetector::new(Iso2022JpDetection::Deny);
    let looked_at = &bytes[..bytes.len().min(LOOKED_AT)];
    detector.feed(looked_at, complete && looked_at.len() == bytes.len());
    let encoding = detector.guess(None, Utf8Detection::Deny);
    let other = bytes.iter().filter(|b| !b.is_ascii()).count();
    (encoding, format!("not valid UTF-8; the {other} bytes beyond ASCII are most like {}", encoding.name()))
}

/// As UTF-8, without the mark. What does not fit is replaced: it only misleads a guess, and a run will name it.
pub(super) fn decode(bytes: &[u8], encoding: &'static Encoding, complete: bool) -> String {
    let (text, _) = encoding.decode_with_bom_removal(bytes);
    let mut text = text.into_owned();
    if !complete {
        // The last line is cut off somewhere.
        text.truncate(text.rfind('\n').map_or(0, |at| at + 1));
    }
    text
}
