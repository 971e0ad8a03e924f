//! The records of a JSON file, one after the other: lines, the items of an array at the top or inside a document, or the
//! document itself. Only one record is in memory at a time.

use std::io::BufRead;

use encoding_rs::UTF_8;
use meshwork_core::{Error, Result};

use crate::source::content::{self, Text};
use crate::source::file::SourceFile;

const MAX_RECORD: usize = 16 << 20;

pub struct Records<'f> {
    file: &'f SourceFile,
    input: Text,
    buffer: Vec<u8>,
    /// Of the next byte, from 1.
    line: u64,
    shape: Shape,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    Lines,
    /// Items of an array below so many objects.
    Items {
        depth: usize,
        first: bool,
    },
    One {
        depth: usize,
    },
    Ended,
}

impl<'f> Records<'f> {
    /// `path`: where the records are in a document; `None` for lines or an array at the top.
    pub fn open(file: &'f SourceFile, path: Option<&[String]>) -> Result<Self> {
        let input = content::text(file, UTF_8)?;
        let mut records = Self { file, input, buffer: Vec::new(), line: 1, shape: Shape::Lines };
        let start = records.skip_blanks()?;
        match path {
            None if start == Some(b'[') => records.enter(0)?,
            None => {}
            Some(path) => {
                for (depth, key) in path.iter().enumerate() {
                    records.descend(key, depth, path)?;
                }
                records.enter(path.len())?;
            }
        }
        Ok(records)
    }

    /// The text of the next record, with the line where it starts.
    pub fn next(&mut self) -> Result<Option<(u64, &str)>> {
        let line = match self.shape {
            Shape::Ended => return Ok(None),
            Shape::Lines => {
                let Some(line) = self.read_line()? else { return Ok(None) };
                line
            }
            Shape::One { depth } => {
                self.shape = Shape::Ended;
                let line = self.line;
                self.buffer.clear();
                self.value(true)?;
                self.close(depth)?;
                line
            }
            Shape::Items { depth, first } => {
                self.skip_blanks()?;
                match self.peek()? {
                    Some(b']') if first => return self.last(depth),
                    Some(_) if first => {}
                    Some(b',') => {
                        self.bump();
                        self.skip_blanks()?;
                    }
                    Some(b']') => return self.last(depth),
                    Some(_) => return Err(self.malformed("a `,` or `]` is missing between records")),
                    None => return Err(self.cut_off()),
                }
                self.shape = Shape::Items { depth, first: false };
                let line = self.line;
                self.buffer.clear();
                self.value(true)?;
                line
            }
        };
        let text = std::str::from_utf8(&self.buffer).map_err(|_| {
            Error::check("MW0504", format!("`{}`, line {line}: not valid UTF-8", self.file.name))
                .hint("JSON is always UTF-8: write the file again")
        })?;
        Ok(Some((line, text.trim_end())))
    }

    fn last(&mut self, depth: usize) -> Result<Option<(u64, &str)>> {
        self.bump();
        self.shape = Shape::Ended;
        self.close(depth)?;
        Ok(None)
    }

    fn enter(&mut self, depth: usize) -> Result<()> {
        self.shape = match self.skip_blanks()? {
            Some(b'[') => {
                self.bump();
                Shape::Items { depth, first: true }
            }
            Some(b'{') => Shape::One { depth },
            Some(_) => {
                return Err(self.malformed("there is neither an array nor an object where the records should be"));
            }
            None => return Err(self.cut_off()),
        };
        Ok(())
    }

    /// Into the value of a key of the object that starts here.
    fn descend(&mut self, key: &str, depth: usize, path: &[String]) -> Result<()> {
        if self.skip_blanks()? != Some(b'{') {
            return Err(self.no_records(depth, path));
        }
        self.bump();
        if self.skip_blanks()? == Some(b'}') {
            return Err(self.no_records(depth, path));
        }
        loop {
            if self.key()? == key {
                self.skip_blanks()?;
                return Ok(());
            }
            self.value(false)?;
            match self.skip_blanks()? {
                Some(b',') => self.bump(),
                Some(b'}') => return Err(self.no_records(depth, path)),
                Some(_) => return Err(self.malformed("a `,` or `}` is missing")),
                None => return Err(self.cut_off()),
            }
        }
    }

    /// The rest of `depth` objects, and then nothing more.
    fn close(&mut self, depth: usize) -> Result<()> {
        for _ in 0..depth {
            loop {
                match self.skip_blanks()? {
                    Some(b'}') => break,
                    Some(b',') => self.bump(),
                    Some(_) => return Err(self.malformed("a `,` or `}` is missing")),
                    None => return Err(self.cut_off()),
                }
                self.key()?;
                self.value(false)?;
            }
            self.bump();
        }
        match self.skip_blanks()? {
            None => Ok(()),
            Some(_) => Err(self.malformed("something follows the end of the document")),
        }
    }

    fn key(&mut self) -> Result<String> {
        if self.skip_blanks()? != Some(b'"') {
            return Err(self.malformed("a key in quotes is missing"));
        }
        self.buffer.clear();
        self.value(true)?;
        let key = serde_json::from_slice(&self.buffer).map_err(|_| self.malformed("a key is not valid"))?;
        match self.skip_blanks()? {
            Some(b':') => {
                self.bump();
                self.skip_blanks()?;
                Ok(key)
            }
            _ => Err(self.malformed("a `:` is missing")),
        }
    }

    /// The value that starts here; into the buffer if it is kept. Only where it ends is looked at, not what it says.
    fn value(&mut self, keep: bool) -> Result<()> {
        let (mut depth, mut quoted, mut escaped, mut started) = (0u32, false, false, false);
        loop {
            let chunk = self.input.fill_buf().map_err(|error| self.file.unreadable(&error))?;
            if chunk.is_empty() {
                // A number at the very end of a document ends there.
                return if started && depth == 0 && !quoted { Ok(()) } else { Err(self.cut_off()) };
            }
            let (mut taken, mut done) = (0, false);
            for byte in chunk {
                if quoted {
                    taken += 1;
                    match byte {
                        _ if escaped => escaped = false,
                        b'\\' => escaped = true,
                        b'"' => {
                            quoted = false;
                            done = depth == 0;
                        }
                        _ => {}
                    }
                } else {
                    match byte {
                        b'"' => quoted = true,
                        b'{' | b'[' => depth += 1,
                        b'}' | b']' if depth == 0 => {
                            done = true;
                            break;
                        }
                        b'}' | b']' => {
                            depth -= 1;
                            done = depth == 0;
                        }
                        b',' | b':' | b' ' | b'\t' | b'\r' | b'\n' if depth == 0 => {
                            done = true;
                            break;
                        }
                        _ => {}
                    }
                    taken += 1;
                }
                started = true;
                if done {
                    break;
                }
            }
            self.line += chunk[..taken].iter().filter(|b| **b == b'\n').count() as u64;
            if keep {
                self.buffer.extend_from_slice(&chunk[..taken]);
            }
            self.input.consume(taken);
            if self.buffer.len() > MAX_RECORD {
                return Err(self.too_long());
            }
            if done {
                return if started { Ok(()) } else { Err(self.malformed("a value is missing")) };
            }
        }
    }

    /// The next line that is not blank.
    fn read_line(&mut self) -> Result<Option<u64>> {
        loop {
            let number = self.line;
            self.buffer.clear();
            loop {
                let chunk = self.input.fill_buf().map_err(|error| self.file.unreadable(&error))?;
                let (taken, done) = match chunk.iter().position(|b| *b == b'\n') {
                    Some(at) => (at + 1, true),
                    None => (chunk.len(), chunk.is_empty()),
                };
                self.buffer.extend_from_slice(&chunk[..taken]);
                self.input.consume(taken);
                if self.buffer.len() > MAX_RECORD {
                    return Err(self.too_long());
                }
                if done {
                    break;
                }
            }
            if self.buffer.is_empty() {
                return Ok(None);
            }
            self.line += 1;
            if !self.buffer.iter().all(u8::is_ascii_whitespace) {
                return Ok(Some(number));
            }
        }
    }

    fn peek(&mut self) -> Result<Option<u8>> {
        Ok(self.input.fill_buf().map_err(|error| self.file.unreadable(&error))?.first().copied())
    }

    fn bump(&mut self) {
        self.input.consume(1);
    }

    fn skip_blanks(&mut self) -> Result<Option<u8>> {
        loop {
            match self.peek()? {
                Some(byte @ (b' ' | b'\t' | b'\r' | b'\n')) => {
                    self.line += u64::from(byte == b'\n');
                    self.bump();
                }
                other => return Ok(other),
            }
        }
    }

    fn malformed(&self, what: &str) -> Error {
        Error::check("MW0508", format!("`{}`, line {}: not valid JSON: {what}", self.file.name, self.line))
            .hint("check the file with `jq . FILE`, which names the place as well")
    }

    fn cut_off(&self) -> Error {
        Error::check("MW0508", format!("`{}` ends on line {} in the middle of a value", self.file.name, self.line))
            .hint("it may have been cut off while it was copied or written: compare its size with the original")
    }

    fn too_long(&self) -> Error {
        let hint = match self.shape {
            Shape::Lines => {
                "a file that is one large document needs `options: { records: $.… }`, which says where its records are"
            }
            _ => "`options: { records: $.… }` may name an array further inside",
        };
        let message = format!("`{}`: the record at line {} is longer than 16 MiB", self.file.name, self.line);
        Error::limit("MW0512", message).hint(hint)
    }

    fn no_records(&self, depth: usize, path: &[String]) -> Error {
        let at = path[..depth].iter().map(|key| format!(".{key}")).collect::<String>();
        let key = &path[depth];
        Error::check("MW0534", format!("`{}`: `${at}` has no key `{key}`, so there are no records", self.file.name))
            .hint("the source may have changed: compare it with `records` in the source's options")
    }
}
