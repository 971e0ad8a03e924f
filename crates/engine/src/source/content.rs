//! What is inside a file: decompressed by its magic bytes, and as UTF-8 text where it declares another encoding.

use std::fs::File;
use std::io::{self, BufReader, Cursor, Read, Seek, SeekFrom};

use encoding_rs::{CoderResult, Decoder, DecoderResult, Encoding, UTF_8, UTF_16BE, UTF_16LE};
use meshwork_core::{Error, Result};

use super::file::SourceFile;

pub type Bytes = Box<dyn Read + Send>;
pub type Text = BufReader<Bytes>;

const BUFFER: usize = 256 << 10;

/// How a file is compressed; told by its first bytes, never by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    Gzip,
    Zstd,
    Bzip2,
    Xz,
}

impl Compression {
    pub fn of(start: &[u8]) -> Option<Self> {
        let block =
            |at: &[u8]| at.starts_with(b"\x31\x41\x59\x26\x53\x59") || at.starts_with(b"\x17\x72\x45\x38\x50\x90");
        match start {
            [0x1F, 0x8B, ..] => Some(Self::Gzip),
            [0x28, 0xB5, 0x2F, 0xFD, ..] | [0x50..=0x5F, 0x2A, 0x4D, 0x18, ..] => Some(Self::Zstd),
            [0xFD, b'7', b'z', b'X', b'Z', 0, ..] => Some(Self::Xz),
            // "BZh9" alone could begin a text.
            [b'B', b'Z', b'h', b'1'..=b'9', rest @ ..] if block(rest) => Some(Self::Bzip2),
            _ => None,
        }
    }
}

/// The bytes of a file, decompressed. Every member or frame of it is read, as `cat a.gz b.gz` makes them.
pub fn bytes(file: &SourceFile) -> Result<Bytes> {
    let mut opened = file.open()?;
    let failed = |error: io::Error| file.unreadable(&error);
    let start = peek(&mut opened).map_err(failed)?;
    let name = file.name.clone();
    let packed = BufReader::with_capacity(BUFFER, opened);
    let inner: Bytes = match Compression::of(&start) {
        None => return Ok(Box::new(packed)),
        Some(Compression::Gzip) => Box::new(flate2::bufread::MultiGzDecoder::new(packed)),
        Some(Compression::Bzip2) => Box::new(bzip2::bufread::MultiBzDecoder::new(packed)),
        Some(Compression::Xz) => Box::new(liblzma::bufread::XzDecoder::new_multi_decoder(packed)),
        Some(Compression::Zstd) => {
            Box::new(zstd::stream::read::Decoder::with_buffer(packed).map_err(|error| file.unreadable(&error))?)
        }
    };
    Ok(Box::new(Unpacked { inner, name }))
}

fn peek(file: &mut File) -> io::Result<Vec<u8>> {
    let mut start = Vec::with_capacity(10);
    file.take(10).read_to_end(&mut start)?;
    file.seek(SeekFrom::Start(0))?;
    Ok(start)
}

/// Names a damaged archive instead of what its decoder says of it.
struct Unpacked {
    inner: Bytes,
    name: String,
}

impl Read for Unpacked {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.inner.read(buffer).map_err(|error| match error.kind() {
            io::ErrorKind::Interrupted => error,
            _ if error.raw_os_error().is_some() => error,
            kind => {
                let cut = if kind == io::ErrorKind::UnexpectedEof { ": it ends too early" } else { "" };
                io::Error::other(
                    Error::environment("MW0532", format!("`{}` is a damaged compressed file{cut}", self.name)).hint(
                        "it may have been cut off while it was copied or written: compare its size with the original",
                    ),
                )
            }
        })
    }
}

/// The encoding that a label names (WHATWG's labels: `iso-8859-1` is read as windows-1252, its superset).
pub fn encoding(label: &str) -> Option<&'static Encoding> {
    Encoding::for_label(label.as_bytes()).filter(|encoding| *encoding != encoding_rs::REPLACEMENT)
}

/// A file as text in UTF-8, without a byte order mark. UTF-8 itself is not validated here: its readers do that, and know
/// the column.
pub fn text(file: &SourceFile, encoding: &'static Encoding) -> Result<Text> {
    let mut bytes = bytes(file)?;
    let mut head = Vec::with_capacity(3);
    bytes.by_ref().take(3).read_to_end(&mut head).map_err(|error| file.unreadable(&error))?;
    let wide = match head.as_slice() {
        [0xFF, 0xFE, ..] => Some(UTF_16LE),
        [0xFE, 0xFF, ..] => Some(UTF_16BE),
        _ => None,
    };
    let encoding = match (encoding, wide) {
        // `utf-16` names both orders; the mark says which.
        (declared, Some(wide)) if declared == UTF_16LE || declared == UTF_16BE => wide,
        (declared, Some(_)) if declared == UTF_8 => {
            return Err(Error::check("MW0504", format!("`{}` is UTF-16, not UTF-8", file.name))
                .hint("set `options: { encoding: utf-16 }` on a CSV source; JSON is always UTF-8"));
        }
        (declared, _) => declared,
    };
    if head == [0xEF, 0xBB, 0xBF] {
        head.clear();
    }
    let whole: Bytes = Box::new(Cursor::new(head).chain(bytes));
    Ok(BufReader::with_capacity(
        BUFFER,
        if encoding == UTF_8 { whole } else { Box::new(Decoded::new(whole, encoding, &file.name)) },
    ))
}

/// Text of another encoding as UTF-8. What is not valid in it is an error that names the line, never a replacement.
struct Decoded {
    inner: Bytes,
    decoder: Decoder,
    encoding: &'static Encoding,
    name: String,
    raw: Vec<u8>,
    /// The part of `raw` that is still to be decoded.
    at: std::ops::Range<usize>,
    ended: bool,
    /// The decoder may not be asked again.
    finished: bool,
    out: Vec<u8>,
    /// Of `out`, already handed over.
    given: usize,
    line: u64,
}

impl Decoded {
    fn new(inner: Bytes, encoding: &'static Encoding, name: &str) -> Self {
        Self {
            inner,
            decoder: encoding.new_decoder_with_bom_removal(),
            encoding,
            name: name.to_owned(),
            raw: vec![0; BUFFER / 4],
            at: 0..0,
            ended: false,
            finished: false,
            out: Vec::new(),
            given: 0,
            line: 1,
        }
    }
}

impl Decoded {
    /// The next piece of text into `out`; empty at the end.
    fn fill(&mut self) -> io::Result<()> {
        self.out.clear();
        while self.out.is_empty() && !self.finished {
            if self.at.is_empty() && !self.ended {
                let read = self.inner.read(&mut self.raw)?;
                self.at = 0..read;
                self.ended = read == 0;
            }
            self.out.resize(BUFFER, 0);
            let raw = &self.raw[self.at.clone()];
            let (result, read, written) =
                self.decoder.decode_to_utf8_without_replacement(raw, &mut self.out, self.ended);
            self.at.start += read;
            self.out.truncate(written);
            self.line += self.out.iter().filter(|byte| **byte == b'\n').count() as u64;
            match result {
                DecoderResult::InputEmpty => self.finished = self.ended,
                DecoderResult::OutputFull => {}
                DecoderResult::Malformed(..) => {
                    let what = self.encoding.name();
                    return Err(io::Error::other(
                        Error::check("MW0504", format!("`{}`, line {}: not valid {what}", self.name, self.line))
                            .hint("set `options: { encoding: … }` to the encoding that the file was written in"),
                    ));
                }
            }
        }
        Ok(())
    }
}

impl Read for Decoded {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.given == self.out.len() {
            self.fill()?;
            self.given = 0;
        }
        let rest = &self.out[self.given..];
        let taken = rest.len().min(buffer.len());
        buffer[..taken].copy_from_slice(&rest[..taken]);
        self.given += taken;
        Ok(taken)
    }
}

/// The first `limit` bytes of a file's content, and whether that is all of it.
pub fn start(file: &SourceFile, limit: usize) -> Result<(Vec<u8>, bool)> {
    let mut found = Vec::new();
    let mut bytes = bytes(file)?;
    bytes.by_ref().take(limit as u64).read_to_end(&mut found).map_err(|error| file.unreadable(&error))?;
    let mut more = [0];
    let all = found.len() < limit || bytes.read(&mut more).map_err(|error| file.unreadable(&error))? == 0;
    Ok((found, all))
}

/// Whether the bytes are valid in the encoding; the end may be cut within a character.
pub fn fits(bytes: &[u8], encoding: &'static Encoding, whole: bool) -> bool {
    let mut decoder = encoding.new_decoder_with_bom_removal();
    let mut sink = [0; 4096];
    let mut at = 0;
    loop {
        let (result, read, _, replaced) = decoder.decode_to_utf8(&bytes[at..], &mut sink, whole);
        at += read;
        match (result, replaced) {
            (_, true) => return false,
            (CoderResult::InputEmpty, _) => return true,
            (CoderResult::OutputFull, _) => {}
        }
    }
}

#[cfg(test)]
mod tests;
