//! Cuts a `kamailio.cfg` into tokens, as Kamailio's own lexer does (`src/core/cfg.lex`). Pure.
//!
//! Knows strings, comments and preprocessor directives, and nothing of what statements mean. Which branch of an
//! `#!ifdef` holds is the caller's to know: it [skips](Lexer::next_condition) the others.

/// The directives that begin, part and end a condition.
const CONDITIONS: [&str; 5] = ["ifdef", "ifndef", "ifexp", "else", "endif"];

/// The directives that define a word; the rest of their line stands for it, and the next one where it ends with a
/// backslash.
const DEFINITIONS: [&str; 8] = [
    "def",
    "define",
    "trydef",
    "trydefine",
    "redef",
    "redefine",
    "defexp",
    "defexps",
];

/// What a string follows.
const SUBSTITUTIONS: [&str; 3] = ["subst", "substdef", "substdefs"];

/// What a file's name follows, with `#!` before it or not.
const INCLUDES: [&str; 2] = ["include_file", "import_file"];

/// A token, and the number of the line that it begins on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Token {
    /// Counted from 1.
    pub line: usize,
    /// What it is.
    pub kind: Kind,
}

/// What a token is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Kind {
    /// A name or a number.
    Word(String),
    /// The content of a string; `"a" "b"` is one.
    Text(String),
    /// Any other character.
    Mark(char),
    /// A preprocessor directive: its name without `#!`, and what it applies to.
    Directive(&'static str, String),
    /// The name of a file that is read in this place.
    Include(String),
}

/// The tokens of a text, one after the other.
#[derive(Clone, Debug)]
pub struct Lexer<'a> {
    rest: &'a str,
    line: usize,
}

impl<'a> Lexer<'a> {
    /// Reads this text.
    #[must_use]
    pub fn new(text: &'a str) -> Self {
        Self {
            rest: text,
            line: 1,
        }
    }

    /// The next directive that begins, parts or ends a condition, whatever stands before it: where a condition does not
    /// hold Kamailio looks for nothing else, not even for comments.
    pub fn next_condition(&mut self) -> Option<Token> {
        loop {
            let line = self.line;
            let first = self.rest.chars().next()?;
            if let Some(kind) = self.directive(true) {
                return Some(Token { line, kind });
            }
            self.take(first.len_utf8());
            self.take_while(|c| c != '#' && c != '!');
        }
    }

    /// Goes on behind so many bytes (or a few more, to the next whole character); returns them.
    fn take(&mut self, bytes: usize) -> &'a str {
        let whole = |at: &usize| self.rest.is_char_boundary(*at);
        let end = (bytes..self.rest.len()).find(whole);
        let (taken, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
        self.line += taken.matches('\n').count();
        self.rest = rest;
        taken
    }

    /// Goes on behind all leading characters of a kind; returns them.
    fn take_while(&mut self, is_one: impl Fn(char) -> bool) -> &'a str {
        let end = self.rest.find(|c| !is_one(c)).unwrap_or(self.rest.len());
        self.take(end)
    }

    fn take_line(&mut self) -> &'a str {
        self.take_while(|c| c != '\n')
    }

    /// The directive that stands here, if any.
    fn directive(&mut self, only_conditions: bool) -> Option<Kind> {
        let behind = self
            .rest
            .strip_prefix("#!")
            .or_else(|| self.rest.strip_prefix("!!"))?;
        let end = behind.find(|c: char| !c.is_ascii_lowercase() && c != '_');
        let (word, rest) = behind.split_at(end.unwrap_or(behind.len()));
        let all = [&CONDITIONS[..], &DEFINITIONS, &SUBSTITUTIONS, &INCLUDES];
        let known = &all[..if only_conditions { 1 } else { all.len() }];
        let name = known
            .iter()
            .copied()
            .flatten()
            .find(|name| **name == word)?;
        let is_alone = || {
            rest.lines()
                .next()
                .is_none_or(|rest| rest.trim().is_empty())
        };
        let is_definition = DEFINITIONS.contains(name);
        let fits = match *name {
            "else" | "endif" => is_alone(),
            "ifdef" | "ifndef" | "ifexp" => rest.starts_with(is_blank),
            _ => !is_definition || rest.starts_with(is_blank),
        };
        if !fits {
            return None;
        }
        self.take("#!".len() + word.len());
        Some(if INCLUDES.contains(name) {
            Kind::Include(self.file_name())
        } else if SUBSTITUTIONS.contains(name) {
            let next = self.next().map(|token| token.kind);
            let text = match next {
                Some(Kind::Text(text)) => text,
                _ => String::new(),
            };
            Kind::Directive(name, text)
        } else {
            let mut line = self.take_line().trim_start().to_owned();
            while is_definition && line.ends_with('\\') && !self.rest.is_empty() {
                line.pop();
                self.take(1);
                line.push_str(self.take_line());
            }
            Kind::Directive(name, line.trim_end().to_owned())
        })
    }

    /// The name of an included file, which stands in double quotes.
    fn file_name(&mut self) -> String {
        self.take_while(|c| matches!(c, ' ' | '\t'));
        let name = self.take_while(|c| !c.is_ascii_whitespace());
        name.trim_matches('"').to_owned()
    }

    /// A comment, which may have others in it.
    fn comment(&mut self) {
        let mut open = 0;
        while !self.rest.is_empty() {
            if self.rest.starts_with("/*") {
                open += 1;
                self.take(2);
            } else if self.rest.starts_with("*/") {
                open -= 1;
                self.take(2);
            } else {
                self.take(1);
            }
            if open == 0 {
                return;
            }
        }
    }

    /// A string in single quotes: everything as it stands.
    fn plain_text(&mut self) -> String {
        self.take(1);
        let text = self.take_while(|c| c != '\'');
        self.take(1);
        text.to_owned()
    }

    /// Strings in double quotes, with nothing but blanks between them: one text.
    fn text(&mut self) -> String {
        let mut text = Vec::new();
        while self.rest.starts_with('"') {
            self.take(1);
            loop {
                let piece = self.take_while(|c| c != '"' && c != '\\');
                text.extend_from_slice(piece.as_bytes());
                if !self.rest.starts_with('\\') {
                    break;
                }
                self.escape(&mut text);
            }
            self.take(1);
            let blanks = self.rest.len() - self.rest.trim_start_matches(is_space).len();
            if !self.rest[blanks..].starts_with('"') {
                break;
            }
            self.take(blanks);
        }
        String::from_utf8_lossy(&text).into_owned()
    }

    /// What a backslash in a string and what follows stand for.
    fn escape(&mut self, text: &mut Vec<u8>) {
        let behind = &self.rest[1..];
        let digits = |text: &str, radix, most| {
            let digits = text.chars().take(most).take_while(|c| c.is_digit(radix));
            digits.count()
        };
        let code = |from: usize, count, radix| {
            // As in Kamailio, which cuts what does not fit into a byte.
            let number = u32::from_str_radix(&behind[from..from + count], radix);
            number.unwrap_or_default().to_le_bytes()[0]
        };
        let (octal, hex) = (
            digits(behind, 8, 3),
            digits(behind.get(1..).unwrap_or(""), 16, 2),
        );
        let (byte, length) = match behind.as_bytes().first() {
            Some(b'n') => (Some(b'\n'), 1),
            Some(b'r') => (Some(b'\r'), 1),
            Some(b'a') => (Some(7), 1),
            Some(b't') => (Some(b'\t'), 1),
            Some(quoted @ (b'"' | b'\\')) => (Some(*quoted), 1),
            Some(b'\n') => (None, 1),
            Some(b'x') if hex > 0 => (Some(code(1, hex, 16)), 1 + hex),
            _ if octal >= 2 => (Some(code(0, octal, 8)), octal),
            _ => (Some(b'\\'), 0),
        };
        text.extend(byte);
        self.take(1 + length);
    }

    /// A variable, such as `$(ru{s.select,0,'})`: what stands in its parentheses is neither a string nor a comment.
    fn variable(&mut self) {
        self.take(1);
        self.take_while(is_part);
        let mut open = 0_usize;
        while let Some(first) = self.rest.chars().next() {
            match first {
                '(' => open += 1,
                ')' => open = open.saturating_sub(1),
                _ if open == 0 => return,
                _ => {}
            }
            self.take(1);
            if open == 0 {
                return;
            }
        }
    }
}

impl Iterator for Lexer<'_> {
    type Item = Token;

    fn next(&mut self) -> Option<Token> {
        loop {
            let line = self.line;
            let token = |kind| Some(Token { line, kind });
            let first = self.rest.chars().next()?;
            if matches!(first, '#' | '!')
                && let Some(kind) = self.directive(false)
            {
                return token(kind);
            }
            if first == '#' || self.rest.starts_with("//") {
                self.take_line();
            } else if self.rest.starts_with("/*") {
                self.comment();
            } else if is_space(first) || self.rest.starts_with("\\\n") {
                self.take(1);
            } else if first == '"' {
                return token(Kind::Text(self.text()));
            } else if first == '\'' {
                return token(Kind::Text(self.plain_text()));
            } else if is_part(first) {
                let word = self.take_while(is_part);
                return token(if INCLUDES.contains(&word) {
                    Kind::Include(self.file_name())
                } else {
                    Kind::Word(word.to_owned())
                });
            } else {
                if first == '$' {
                    self.variable();
                } else {
                    self.take(1);
                }
                return token(Kind::Mark(first));
            }
        }
    }
}

/// Whether this may stand in a name or a number.
fn is_part(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// Whether this is nothing, and does not end a line.
fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\u{8}' | '\r')
}

fn is_space(c: char) -> bool {
    is_blank(c) || c == '\n'
}

#[cfg(test)]
mod tests;
