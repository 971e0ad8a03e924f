//! How a finding is shown to people: message, place, the line of the source with the marked part, hints.
//!
//! Everything that comes from a file or a server is made harmless first: control characters, escape sequences for
//! terminals and marks that reorder text are shown, never sent.

use std::fmt::Write;

use unicode_width::UnicodeWidthChar;

use crate::error::{Diagnostic, Error, Place, Severity};

/// Columns of source that are shown; a longer line is cut around the marked part.
const WIDTH: usize = 100;
const TAB: usize = 4;

/// Findings whose line holds what must not be repeated.
const SECRET: [&str; 1] = ["MW0130"];

/// Several lines, ending in a line break. `source` is the text of the file that the place names.
pub fn render(diagnostic: &Diagnostic, source: Option<&str>, color: bool) -> String {
    let paint = Paint { color };
    let (word, style) = match diagnostic.severity {
        Severity::Error => ("error", Style::Red),
        Severity::Warning => ("warning", Style::Yellow),
        Severity::Info => ("note", Style::Blue),
    };
    let mut out = String::new();
    let head = format!("{word}[{}]", visible(&diagnostic.code));
    let _ =
        writeln!(out, "{}{} {}", paint.with(style, &head), paint.with(Style::Bold, ":"), visible(&diagnostic.message));
    let place = visible(&diagnostic.place.to_string());
    let line = usize::try_from(diagnostic.place.line).unwrap_or(0);
    let shown = source.filter(|_| !SECRET.contains(&diagnostic.code.as_str())).and_then(|text| nth_line(text, line));
    let margin = if shown.is_some() { line.to_string().len() } else { 1 };
    let indent = " ".repeat(margin);
    if !diagnostic.place.path.is_empty() {
        let _ = writeln!(out, "{indent}{} {place}", paint.with(Style::Blue, "-->"));
    }
    if let Some(text) = shown {
        out += &marked(text, &diagnostic.place, diagnostic.length, style, paint);
    }
    for hint in &diagnostic.hints {
        let _ = writeln!(out, "{indent} {} {}", paint.with(Style::Green, "hint:"), visible(hint));
    }
    out
}

/// A line of a source with the marked part below it.
fn marked(text: &str, place: &Place, length: u32, style: Style, paint: Paint) -> String {
    let mut out = String::new();
    let number = place.line.to_string();
    let indent = " ".repeat(number.len());
    let column = usize::try_from(place.column).unwrap_or(0);
    let excerpt = Excerpt::of(text, column, usize::try_from(length).unwrap_or(0));
    let bar = paint.with(Style::Blue, "|");
    let _ = writeln!(out, "{indent} {bar}");
    let _ = writeln!(out, "{} {bar} {}", paint.with(Style::Blue, &number), excerpt.text);
    if column > 0 {
        let carets = paint.with(style, &"^".repeat(excerpt.marked));
        let _ = writeln!(out, "{indent} {bar} {}{carets}", " ".repeat(excerpt.before));
    }
    out
}

/// An error of an operation, with its findings below it.
pub fn render_error(error: &Error, source: impl Fn(&str) -> Option<String>, color: bool) -> String {
    let paint = Paint { color };
    let mut out = String::new();
    for diagnostic in &error.diagnostics {
        out += &render(diagnostic, source(&diagnostic.place.path).as_deref(), color);
        out.push('\n');
    }
    let head = format!("error[{}]", visible(&error.code));
    let _ =
        writeln!(out, "{}{} {}", paint.with(Style::Red, &head), paint.with(Style::Bold, ":"), visible(&error.message));
    if let Some(place) = &error.place {
        let _ = writeln!(out, " {} {}", paint.with(Style::Blue, "-->"), visible(&place.to_string()));
        let text = source(&place.path);
        if let Some(line) = text.as_deref().and_then(|text| nth_line(text, usize::try_from(place.line).unwrap_or(0))) {
            out += &marked(line, place, 1, Style::Red, paint);
        }
    }
    for hint in &error.hints {
        let _ = writeln!(out, "  {} {}", paint.with(Style::Green, "hint:"), visible(hint));
    }
    out
}

/// A text as it can be printed: what would move the cursor, colour, or reorder is shown as its code.
pub fn visible(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            _ if is_harmful(c) => {
                let _ = write!(out, "\\u{{{:x}}}", u32::from(c));
            }
            _ => out.push(c),
        }
    }
    out
}

/// Control characters, marks that reorder or hide text (Trojan Source), line separators.
fn is_harmful(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{61c}'
            | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

fn nth_line(text: &str, line: usize) -> Option<&str> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let found = text.split('\n').nth(line.checked_sub(1)?)?;
    Some(found.strip_suffix('\r').unwrap_or(found))
}

/// One line as shown, and where the mark goes, in columns of the terminal.
struct Excerpt {
    text: String,
    before: usize,
    marked: usize,
}

impl Excerpt {
    /// `column` is 1-based in characters; 0 marks nothing.
    fn of(line: &str, column: usize, length: usize) -> Self {
        let start = column.saturating_sub(1);
        // Far to the right: begin shortly before the mark, so that only a bounded part is ever looked at.
        let skip = if start > WIDTH - 30 { start - 30 } else { 0 };
        let mut text = String::new();
        let (mut at, mut before, mut marked) = (0, 0, 0);
        if skip > 0 {
            text.push('…');
            (at, before) = (1, 1);
        }
        for (index, c) in line.chars().enumerate().skip(skip) {
            if at >= WIDTH {
                text.push('…');
                break;
            }
            let piece = match c {
                '\t' => " ".repeat(TAB - at % TAB),
                _ if is_harmful(c) => format!("\\u{{{:x}}}", u32::from(c)),
                _ => c.to_string(),
            };
            let width: usize = piece.chars().map(|c| c.width().unwrap_or(0)).sum();
            if index < start {
                before = at + width;
            } else if index < start + length {
                marked += width;
            }
            at += width;
            text.push_str(&piece);
        }
        Self { text: text.trim_end().to_owned(), before, marked: marked.max(1) }
    }
}

#[derive(Clone, Copy)]
enum Style {
    Red,
    Yellow,
    Blue,
    Green,
    Bold,
}

#[derive(Clone, Copy)]
struct Paint {
    color: bool,
}

impl Paint {
    fn with(&self, style: Style, text: &str) -> String {
        if !self.color {
            return text.to_owned();
        }
        let code = match style {
            Style::Red => "1;31",
            Style::Yellow => "1;33",
            Style::Blue => "1;34",
            Style::Green => "1;32",
            Style::Bold => "1",
        };
        format!("\u{1b}[{code}m{text}\u{1b}[0m")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(line: u32, column: u32, length: u32, message: &str) -> Diagnostic {
        let place = Place { path: "domains/m/leads/product.yaml".to_owned(), line, column };
        Diagnostic::error("MW0114", place, length, message)
    }

    #[test]
    fn like_a_compiler() {
        let source = "product: leads\nstatus: actve\n";
        let shown = render(
            &finding(2, 9, 5, "`actve` is not a value of `status`").hint("Did you mean `active`?"),
            Some(source),
            false,
        );
        assert_eq!(
            shown,
            "error[MW0114]: `actve` is not a value of `status`\n \
             --> domains/m/leads/product.yaml:2:9\n  \
             |\n\
             2 | status: actve\n  \
             |         ^^^^^\n  \
             hint: Did you mean `active`?\n"
        );
    }

    #[test]
    fn without_a_source_or_line() {
        let mut at_file = finding(0, 0, 0, "m");
        assert_eq!(render(&at_file, Some("x"), false), "error[MW0114]: m\n --> domains/m/leads/product.yaml\n");
        at_file.place.path.clear();
        at_file.severity = Severity::Warning;
        assert_eq!(render(&at_file, None, false), "warning[MW0114]: m\n");
        assert_eq!(render(&finding(99, 1, 1, "m"), Some("x"), false).lines().count(), 2);
    }

    fn lines(source: &str, column: u32, length: u32) -> (String, String) {
        let shown = render(&finding(1, column, length, "m"), Some(source), false);
        let lines: Vec<&str> = shown.lines().collect();
        (lines[3].to_owned(), lines[4].to_owned())
    }

    #[test]
    fn marks_stand_below_what_they_mark() {
        // A tab goes to the next multiple of four; wide characters take two columns, combining ones none.
        assert_eq!(lines("\ta: x", 5, 1), ("1 |     a: x".into(), "  |        ^".into()));
        assert_eq!(lines("名前: x", 5, 1), ("1 | 名前: x".into(), "  |       ^".into()));
        assert_eq!(lines("名前: x", 1, 2), ("1 | 名前: x".into(), "  | ^^^^".into()));
        assert_eq!(lines("e\u{301}x: y", 6, 1), ("1 | e\u{301}x: y".into(), "  |     ^".into()));
        // A point after the end of the line.
        assert_eq!(lines("a:", 3, 0), ("1 | a:".into(), "  |   ^".into()));
    }

    #[test]
    fn long_lines_are_cut_around_the_mark() {
        let source = format!("{}BAD{}", "x".repeat(5000), "y".repeat(5000));
        let (text, mark) = lines(&source, 5001, 3);
        assert_eq!(text, format!("1 | …{}BAD{}…", "x".repeat(30), "y".repeat(66)));
        assert_eq!(mark, format!("  | {}^^^", " ".repeat(31)));
        let (text, mark) = lines(&"z".repeat(1_000_000), 1, 1_000_000);
        assert_eq!(text.chars().count(), 4 + 101);
        assert_eq!(mark, format!("  | {}", "^".repeat(100)));
    }

    #[test]
    fn hostile_text_is_neutralised() {
        let mut bad = finding(1, 1, 1, "\u{1b}[2J\u{1b}]0;title\u{7} a\r\nb \u{202e}gpj.exe");
        bad.place.path = "a\u{1b}[31m.yaml".to_owned();
        bad.hints.push("\u{9b}31m".to_owned());
        let shown = render(&bad, Some("\u{1b}[2Jname: \u{202e}x\u{0}"), false);
        assert!(shown.chars().all(|c| c == '\n' || !is_harmful(c)), "{shown:?}");
        assert_eq!(shown.lines().count(), 6);
        assert!(shown.contains(r"\u{1b}[2J") && shown.contains(r"\u{202e}gpj.exe"), "{shown}");
    }

    #[test]
    fn a_password_is_not_repeated() {
        let mut found = finding(1, 11, 7, "a password stands in the manifest");
        found.code = "MW0130".to_owned();
        assert!(!render(&found, Some("password: hunter2"), true).contains("hunter2"));
    }

    #[test]
    fn colour_only_when_asked_for() {
        assert!(!render(&finding(1, 1, 1, "m"), Some("x"), false).contains('\u{1b}'));
        assert!(render(&finding(1, 1, 1, "m"), Some("x"), true).contains("\u{1b}[1;31merror[MW0114]\u{1b}[0m"));
    }

    #[test]
    fn errors_show_their_findings_and_what_to_do() {
        let error = Error::check("MW0199", "the mesh has 1 error")
            .hint("Correct it.")
            .with_diagnostics(vec![finding(1, 1, 1, "m")]);
        let shown = render_error(&error, |_| Some("abc".to_owned()), false);
        assert_eq!(
            shown,
            "error[MW0114]: m\n --> domains/m/leads/product.yaml:1:1\n  |\n1 | abc\n  | ^\n\nerror[MW0199]: the mesh has 1 error\n  hint: Correct it.\n"
        );
    }

    #[test]
    fn an_error_shows_the_line_that_it_points_at() {
        let place = Place { path: "statement".to_owned(), line: 2, column: 3 };
        let error = Error::usage("MW0803", "column `x` does not exist").at(place);
        let shown = render_error(&error, |_| Some("select\n  x\n".to_owned()), false);
        assert_eq!(shown, "error[MW0803]: column `x` does not exist\n --> statement:2:3\n  |\n2 |   x\n  |   ^\n");
    }

    #[test]
    fn as_json() {
        assert_eq!(
            serde_json::to_value(finding(2, 9, 5, "m").hint("h")).unwrap(),
            serde_json::json!({
                "code": "MW0114", "severity": "error", "message": "m", "length": 5, "hints": ["h"],
                "place": {"path": "domains/m/leads/product.yaml", "line": 2, "column": 9},
            })
        );
    }
}
