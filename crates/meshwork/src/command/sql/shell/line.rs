//! The text that is being typed, and how it lies on the screen.

use unicode_width::UnicodeWidthChar;

#[derive(Clone, Debug, Default)]
pub struct Line {
    text: Vec<char>,
    at: usize,
}

impl Line {
    pub fn of(text: &str) -> Self {
        let text: Vec<char> = text.chars().collect();
        Self { at: text.len(), text }
    }

    pub fn text(&self) -> String {
        self.text.iter().collect()
    }

    pub fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// The cursor as an offset into the bytes of `text()`.
    pub fn byte(&self) -> usize {
        self.text[..self.at].iter().map(|c| c.len_utf8()).sum()
    }

    pub fn insert(&mut self, text: &str) {
        let new: Vec<char> = text.chars().collect();
        let count = new.len();
        self.text.splice(self.at..self.at, new);
        self.at += count;
    }

    /// Puts `text` in the place of what stands between a byte offset and the cursor.
    pub fn replace_from(&mut self, byte: usize, text: &str) {
        let start = self.text().get(..byte).map_or(self.at, |before| before.chars().count());
        self.cut(start.min(self.at));
        self.insert(text);
    }

    pub fn backspace(&mut self) {
        self.cut(self.at.saturating_sub(1));
    }

    pub fn delete(&mut self) {
        if self.at < self.text.len() {
            self.text.remove(self.at);
        }
    }

    pub fn left(&mut self) {
        self.at = self.at.saturating_sub(1);
    }

    pub fn right(&mut self) {
        self.at = (self.at + 1).min(self.text.len());
    }

    pub fn home(&mut self) {
        self.at = self.row_start();
    }

    pub fn end(&mut self) {
        self.at = self.row_end();
    }

    pub fn go_to_end(&mut self) {
        self.at = self.text.len();
    }

    pub fn word_left(&mut self) {
        self.at = self.word_start();
    }

    pub fn word_right(&mut self) {
        let is_word = |c: &char| c.is_alphanumeric() || *c == '_';
        let rest = &self.text[self.at..];
        let gap = rest.iter().take_while(|c| !is_word(c)).count();
        self.at += gap + rest[gap..].iter().take_while(|c| is_word(c)).count();
    }

    pub fn kill_word(&mut self) {
        self.cut(self.word_start());
    }

    pub fn kill_to_start(&mut self) {
        self.cut(self.row_start());
    }

    pub fn kill_to_end(&mut self) {
        let end = self.row_end();
        self.text.drain(self.at..end);
    }

    /// To the same place of the row above; false where there is none.
    pub fn up(&mut self) -> bool {
        let start = self.row_start();
        if start == 0 {
            return false;
        }
        let column = self.at - start;
        self.at = start - 1;
        let above = self.row_start();
        self.at = (above + column).min(start - 1);
        true
    }

    pub fn down(&mut self) -> bool {
        let column = self.at - self.row_start();
        let end = self.row_end();
        if end == self.text.len() {
            return false;
        }
        self.at = end + 1;
        self.at = (self.at + column).min(self.row_end());
        true
    }

    /// Removes from there to the cursor.
    fn cut(&mut self, from: usize) {
        self.text.drain(from..self.at);
        self.at = from;
    }

    fn row_start(&self) -> usize {
        self.text[..self.at].iter().rposition(|c| *c == '\n').map_or(0, |found| found + 1)
    }

    fn row_end(&self) -> usize {
        self.text[self.at..].iter().position(|c| *c == '\n').map_or(self.text.len(), |found| self.at + found)
    }

    fn word_start(&self) -> usize {
        let is_word = |c: &char| c.is_alphanumeric() || *c == '_';
        let before = &self.text[..self.at];
        let gap = before.iter().rev().take_while(|c| !is_word(c)).count();
        let word = before[..before.len() - gap].iter().rev().take_while(|c| is_word(c)).count();
        self.at - gap - word
    }

    /// As printed behind prompts, on a screen of so many columns.
    pub fn layout(&self, prompt: &str, continuation: &str, width: usize) -> Layout {
        let width = width.max(8);
        let mut shown = Layout { text: prompt.to_owned(), rows: 1, row: 0, column: 0 };
        let mut column = prompt.chars().count();
        for (index, c) in self.text.iter().enumerate() {
            // A tab and whatever else has no width of its own takes one column.
            let (c, size) = match c.width() {
                Some(size) => (*c, size),
                None => (if *c == '\n' { '\n' } else { ' ' }, 1),
            };
            if c != '\n' && column + size > width {
                shown.text.push_str("\r\n");
                shown.rows += 1;
                column = 0;
            }
            if index == self.at {
                (shown.row, shown.column) = (shown.rows - 1, column);
            }
            if c == '\n' {
                shown.text.push_str("\r\n");
                shown.text.push_str(continuation);
                shown.rows += 1;
                column = continuation.chars().count();
            } else {
                shown.text.push(c);
                column += size;
            }
        }
        if self.at == self.text.len() {
            if column >= width {
                shown.text.push_str("\r\n");
                shown.rows += 1;
                column = 0;
            }
            (shown.row, shown.column) = (shown.rows - 1, column);
        }
        shown
    }
}

/// What is printed, how many rows it takes, and where the cursor belongs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    pub text: String,
    pub rows: usize,
    pub row: usize,
    pub column: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn editing() {
        let mut line = Line::of("select one two");
        line.kill_word();
        line.insert("drei");
        line.word_left();
        line.word_left();
        line.kill_to_end();
        assert_eq!((line.text().as_str(), line.byte()), ("select ", 7));
        line.insert("é");
        line.left();
        line.delete();
        line.backspace();
        assert_eq!(line.text(), "select");
        line.home();
        line.word_right();
        line.insert(" 1");
        assert_eq!(line.text(), "select 1");
        line.replace_from(7, "2 + 3");
        assert_eq!(line.text(), "select 2 + 3");
        line.kill_to_start();
        assert!(line.is_empty());
    }

    #[test]
    fn rows_are_gone_through_before_the_history() {
        let mut line = Line::of("abc\nd\nefg");
        assert!(line.up());
        assert_eq!(line.byte(), 5);
        assert!(line.up());
        assert_eq!(line.byte(), 1);
        assert!(!line.up());
        assert!(line.down() && line.down() && !line.down());
        assert_eq!(line.byte(), 7);
    }

    #[test]
    fn long_and_several_rows_are_laid_out() {
        let line = Line::of("abcdefgh\n名前");
        let shown = line.layout("> ", ". ", 8);
        assert_eq!(shown.text, "> abcdef\r\ngh\r\n. 名前");
        assert_eq!((shown.rows, shown.row, shown.column), (3, 2, 6));
        let full = Line::of("abcdef").layout("> ", ". ", 8);
        assert_eq!((full.text.as_str(), full.rows, full.row, full.column), ("> abcdef\r\n", 2, 1, 0));
    }
}
