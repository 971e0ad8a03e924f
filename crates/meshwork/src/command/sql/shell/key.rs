//! Keys, from the bytes that a terminal in raw mode sends.

use std::io::{BufRead, BufReader, Read};

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Key {
    Text(String),
    Enter,
    Tab,
    Backspace,
    Delete,
    Left,
    Right,
    Up,
    Down,
    Home,
    End,
    WordLeft,
    WordRight,
    KillWord,
    KillToStart,
    KillToEnd,
    ClearScreen,
    /// Ctrl-C.
    Interrupt,
    /// Ctrl-D.
    Leave,
    /// Known to nobody here.
    Other,
}

/// What is typed ahead stays here until it is asked for.
pub struct Keys<R> {
    from: BufReader<R>,
}

const PASTE_END: &[u8] = b"\x1b[201~";
/// More than this is not a statement.
const PASTE_LIMIT: usize = 4 << 20;

impl<R: Read> Keys<R> {
    pub fn new(from: R) -> Self {
        Self { from: BufReader::new(from) }
    }

    /// `None` at the end of the input.
    pub fn next(&mut self) -> std::io::Result<Option<Key>> {
        let Some(byte) = self.byte()? else { return Ok(None) };
        Ok(Some(match byte {
            b'\r' | b'\n' => Key::Enter,
            b'\t' => Key::Tab,
            0x01 => Key::Home,
            0x02 => Key::Left,
            0x03 => Key::Interrupt,
            0x04 => Key::Leave,
            0x05 => Key::End,
            0x06 => Key::Right,
            0x08 | 0x7f => Key::Backspace,
            0x0b => Key::KillToEnd,
            0x0c => Key::ClearScreen,
            0x0e => Key::Down,
            0x10 => Key::Up,
            0x15 => Key::KillToStart,
            0x17 => Key::KillWord,
            0x1b => self.escape()?,
            0x00..0x20 => Key::Other,
            first => self.text(first)?,
        }))
    }

    /// Whether something is waiting already: a screen need not be drawn before it.
    pub fn is_ahead(&self) -> bool {
        !self.from.buffer().is_empty()
    }

    fn byte(&mut self) -> std::io::Result<Option<u8>> {
        let found = self.from.fill_buf()?.first().copied();
        self.from.consume(usize::from(found.is_some()));
        Ok(found)
    }

    /// One character, in as many bytes as its first one says.
    fn text(&mut self, first: u8) -> std::io::Result<Key> {
        let length = match first {
            0xc0..0xe0 => 2,
            0xe0..0xf0 => 3,
            0xf0.. => 4,
            _ => 1,
        };
        let mut bytes = vec![first];
        while bytes.len() < length {
            match self.from.fill_buf()?.first() {
                Some(byte @ 0x80..0xc0) => bytes.push(*byte),
                _ => return Ok(Key::Other),
            }
            self.from.consume(1);
        }
        Ok(String::from_utf8(bytes).map_or(Key::Other, Key::Text))
    }

    fn escape(&mut self) -> std::io::Result<Key> {
        Ok(match self.byte()? {
            Some(b'[') => self.sequence()?,
            Some(b'O') => letter(self.byte()?.unwrap_or_default(), ""),
            Some(b'b') => Key::WordLeft,
            Some(b'f') => Key::WordRight,
            Some(0x7f | 0x08) => Key::KillWord,
            _ => Key::Other,
        })
    }

    /// Parameters, then a letter or `~`.
    fn sequence(&mut self) -> std::io::Result<Key> {
        let mut parameters = String::new();
        loop {
            match self.byte()? {
                Some(byte @ (b'0'..=b'9' | b';')) if parameters.len() < 16 => parameters.push(char::from(byte)),
                Some(b'~') => break,
                Some(byte) => return Ok(letter(byte, &parameters)),
                None => return Ok(Key::Other),
            }
        }
        Ok(match parameters.as_str() {
            "1" | "7" => Key::Home,
            "4" | "8" => Key::End,
            "3" => Key::Delete,
            "200" => self.paste()?,
            _ => Key::Other,
        })
    }

    /// Pasted text: as it is, with its line breaks.
    fn paste(&mut self) -> std::io::Result<Key> {
        let mut bytes = Vec::new();
        while !bytes.ends_with(PASTE_END) && bytes.len() < PASTE_LIMIT {
            match self.byte()? {
                Some(byte) => bytes.push(byte),
                None => break,
            }
        }
        let text = bytes.strip_suffix(PASTE_END).unwrap_or(&bytes);
        let text = String::from_utf8_lossy(text).replace("\r\n", "\n").replace('\r', "\n");
        Ok(Key::Text(text.chars().filter(|c| *c == '\n' || *c == '\t' || !c.is_control()).collect()))
    }
}

fn letter(byte: u8, parameters: &str) -> Key {
    // With Ctrl or Alt, arrows go by words.
    let by_words = matches!(parameters, "1;5" | "1;3" | "5" | "3");
    match byte {
        b'A' => Key::Up,
        b'B' => Key::Down,
        b'C' if by_words => Key::WordRight,
        b'D' if by_words => Key::WordLeft,
        b'C' => Key::Right,
        b'D' => Key::Left,
        b'H' => Key::Home,
        b'F' => Key::End,
        _ => Key::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(bytes: &[u8]) -> Vec<Key> {
        let mut keys = Keys::new(bytes);
        std::iter::from_fn(|| keys.next().expect("bytes can be read")).collect()
    }

    fn text(text: &str) -> Key {
        Key::Text(text.to_owned())
    }

    #[test]
    fn letters_of_any_length() {
        assert_eq!(keys("aé€😀".as_bytes()), [text("a"), text("é"), text("€"), text("😀")]);
        assert_eq!(keys(b"\xc3a"), [Key::Other, text("a")]);
    }

    #[test]
    fn sequences_are_keys() {
        assert_eq!(
            keys(b"\x1b[A\x1bOB\x1b[1;5C\x1b[3~\x1bb"),
            [Key::Up, Key::Down, Key::WordRight, Key::Delete, Key::WordLeft]
        );
        assert_eq!(keys(b"\x03\x04\r\n"), [Key::Interrupt, Key::Leave, Key::Enter, Key::Enter]);
        assert_eq!(keys(b"\x1b[?"), [Key::Other]);
    }

    #[test]
    fn what_is_pasted_does_not_press_keys() {
        assert_eq!(keys(b"\x1b[200~select\r\n\x031;\x1b[201~x"), [text("select\n1;"), text("x")]);
    }
}
