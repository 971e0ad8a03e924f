//! Statements from the terminal: editing, history, completion, several rows to a statement.
//!
//! An editor of our own over crossterm's raw mode, which tables need anyway: the libraries for it turn on features of
//! crates that everything else is built on.

use std::io::{Stdin, Stdout, Write};
use std::path::Path;

use crossterm::terminal;
use meshwork_core::error::{Error, Result};

use super::history::History;
use super::key::{Key, Keys};
use super::line::Line;
use super::statement;
use super::words::Words;

const PROMPT: &str = "mesh> ";
const CONTINUATION: &str = " ...> ";
const PASTES_ON: &str = "\x1b[?2004h";
const PASTES_OFF: &str = "\x1b[?2004l";

/// How reading one statement ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Typed {
    Text(String),
    /// Ctrl-C: the line is left.
    Nothing,
    /// Ctrl-D on an empty line, or no more input.
    Leave,
}

pub struct Input {
    keys: Keys<Stdin>,
    out: Stdout,
    history: History,
    words: Words,
}

impl Input {
    pub fn new(history: Option<&Path>, words: Words) -> Self {
        Self {
            keys: Keys::new(std::io::stdin()),
            out: std::io::stdout(),
            history: History::open(history.map(Path::to_path_buf)),
            words,
        }
    }

    pub fn know(&mut self, words: Words) {
        self.words = words;
    }

    pub fn read(&mut self) -> Result<Typed> {
        let failed =
            |error: std::io::Error| Error::environment("MW1050", format!("the terminal cannot be used: {error}"));
        let raw = Raw::begin().map_err(failed)?;
        let typed = Reading { input: self, line: Line::default(), row: 0, place: None }.run().map_err(failed)?;
        drop(raw);
        if let Typed::Text(text) = &typed {
            self.history.add(text);
        }
        Ok(typed)
    }
}

/// The terminal as programs want it, until dropped.
struct Raw;

impl Raw {
    fn begin() -> std::io::Result<Self> {
        terminal::enable_raw_mode()?;
        let raw = Self;
        std::io::stdout().write_all(PASTES_ON.as_bytes())?;
        Ok(raw)
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        let mut out = std::io::stdout();
        let _ = out.write_all(PASTES_OFF.as_bytes()).and_then(|()| out.flush());
        let _ = terminal::disable_raw_mode();
    }
}

struct Reading<'a> {
    input: &'a mut Input,
    line: Line,
    /// The row of the screen that the cursor is in, counted from the prompt's.
    row: usize,
    /// While walking through the history: where, and what was typed before.
    place: Option<(usize, String)>,
}

impl Reading<'_> {
    fn run(mut self) -> std::io::Result<Typed> {
        self.draw()?;
        loop {
            let Some(key) = self.input.keys.next()? else { return self.end("", Typed::Leave) };
            if !matches!(key, Key::Up | Key::Down) {
                self.place = None;
            }
            match key {
                Key::Enter => {
                    let text = self.line.text();
                    if statement::is_complete(&text) {
                        return self.end("", Typed::Text(text));
                    }
                    self.line.go_to_end();
                    self.line.insert("\n");
                }
                Key::Interrupt => return self.end("^C", Typed::Nothing),
                Key::Leave if self.line.is_empty() => return self.end("", Typed::Leave),
                Key::Leave => self.line.delete(),
                Key::Tab => self.complete()?,
                Key::Text(text) => self.line.insert(&text),
                Key::Backspace => self.line.backspace(),
                Key::Delete => self.line.delete(),
                Key::Left => self.line.left(),
                Key::Right => self.line.right(),
                Key::Home => self.line.home(),
                Key::End => self.line.end(),
                Key::WordLeft => self.line.word_left(),
                Key::WordRight => self.line.word_right(),
                Key::KillWord => self.line.kill_word(),
                Key::KillToStart => self.line.kill_to_start(),
                Key::KillToEnd => self.line.kill_to_end(),
                Key::Up => self.older(),
                Key::Down => self.newer(),
                Key::ClearScreen => {
                    self.input.out.write_all(b"\x1b[2J\x1b[H")?;
                    self.row = 0;
                }
                Key::Other => {}
            }
            if !self.input.keys.is_ahead() {
                self.draw()?;
            }
        }
    }

    fn draw(&mut self) -> std::io::Result<()> {
        let width = terminal::size().map_or(80, |(columns, _)| usize::from(columns));
        let shown = self.line.layout(PROMPT, CONTINUATION, if width == 0 { 80 } else { width });
        let mut text = up(self.row) + "\r\x1b[J" + &shown.text + &up(shown.rows - 1 - shown.row) + "\r";
        if shown.column > 0 {
            text += &format!("\x1b[{}C", shown.column);
        }
        self.row = shown.row;
        self.input.out.write_all(text.as_bytes())?;
        self.input.out.flush()
    }

    /// Leaves the text on the screen and goes below it.
    fn end(mut self, mark: &str, typed: Typed) -> std::io::Result<Typed> {
        self.line.go_to_end();
        self.draw()?;
        self.input.out.write_all(mark.as_bytes())?;
        self.input.out.write_all(b"\r\n")?;
        self.input.out.flush()?;
        Ok(typed)
    }

    fn older(&mut self) {
        if self.place.is_none() && self.line.up() {
            return;
        }
        let (at, typed) = self.place.clone().unwrap_or_else(|| (self.input.history.len(), self.line.text()));
        if let Some((at, text)) = self.input.history.before(at, &typed) {
            self.line = Line::of(text);
            self.place = Some((at, typed));
        }
    }

    fn newer(&mut self) {
        let Some((at, typed)) = self.place.clone() else {
            self.line.down();
            return;
        };
        match self.input.history.after(at, &typed) {
            Some((at, text)) => {
                self.line = Line::of(text);
                self.place = Some((at, typed));
            }
            None => {
                self.line = Line::of(&typed);
                self.place = None;
            }
        }
    }

    fn complete(&mut self) -> std::io::Result<()> {
        let text = self.line.text();
        let (start, found) = self.input.words.complete(&text, self.line.byte());
        let Some(common) = common_start(&found) else { return Ok(()) };
        if common.len() > self.line.byte() - start || found.len() == 1 {
            self.line.replace_from(start, &common);
            return Ok(());
        }
        // Several: shown below, then the prompt again.
        let shown: Vec<&str> = found.iter().take(100).map(String::as_str).collect();
        self.line.go_to_end();
        self.draw()?;
        self.input.out.write_all(format!("\r\n{}\r\n", shown.join("  ")).as_bytes())?;
        self.row = 0;
        Ok(())
    }
}

fn up(rows: usize) -> String {
    if rows == 0 { String::new() } else { format!("\x1b[{rows}A") }
}

/// What all of them begin with; `None` where there are none.
fn common_start(words: &[String]) -> Option<String> {
    let first = words.first()?;
    let length = words.iter().map(|word| word.chars().zip(first.chars()).take_while(|(a, b)| a == b).count()).min()?;
    Some(first.chars().take(length).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_share_a_start() {
        let of = |words: &[&str]| common_start(&words.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>());
        assert_eq!(of(&["shop.orders", "shop.other"]).as_deref(), Some("shop.o"));
        assert_eq!(of(&["abc"]).as_deref(), Some("abc"));
        assert_eq!(of(&[]), None);
    }
}
