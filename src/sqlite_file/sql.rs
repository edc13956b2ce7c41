//! Just enough SQL to read the statements that SQLite keeps in its schema table.

use std::iter::Peekable;
use std::vec::IntoIter;

/// A word of SQL.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token {
    /// An unquoted name or keyword.
    Word(String),
    /// A name in `"…"`, `` `…` `` or `[…]`.
    Name(String),
    /// A string in `'…'`.
    String(String),
    /// A blob in `x'…'`.
    Blob(Vec<u8>),
    /// A number, as written.
    Number(String),
    /// Any other character.
    Mark(char),
}

impl Token {
    /// Whether this is the keyword `word`.
    pub(super) fn is(&self, word: &str) -> bool {
        matches!(self, Self::Word(it) if it.eq_ignore_ascii_case(word))
    }

    /// The name, if this can be one. SQLite takes strings for names where it must.
    pub(super) fn name(&self) -> Option<&str> {
        match self {
            Self::Word(name) | Self::Name(name) | Self::String(name) => Some(name),
            Self::Blob(_) | Self::Number(_) | Self::Mark(_) => None,
        }
    }
}

/// The tokens of a statement, to be taken one by one.
pub(super) struct Tokens(Peekable<IntoIter<Token>>);

impl Tokens {
    /// The tokens of `sql`; comments and white space are gone.
    pub(super) fn of(sql: &str) -> Self {
        Self(tokenize(sql).into_iter().peekable())
    }

    /// These tokens again, from the beginning.
    pub(super) fn from_list(tokens: Vec<Token>) -> Self {
        Self(tokens.into_iter().peekable())
    }

    /// Takes the next token.
    pub(super) fn take(&mut self) -> Option<Token> {
        self.0.next()
    }

    /// The next token, which stays.
    pub(super) fn peek(&mut self) -> Option<&Token> {
        self.0.peek()
    }

    /// Takes the next token if it is the keyword `word`.
    pub(super) fn skip(&mut self, word: &str) -> bool {
        self.0.next_if(|token| token.is(word)).is_some()
    }

    /// Takes the next token if it is `mark`.
    pub(super) fn skip_mark(&mut self, mark: char) -> bool {
        self.0.next_if_eq(&Token::Mark(mark)).is_some()
    }

    /// Takes what stands in parentheses, without them; `None` where there are none.
    pub(super) fn group(&mut self) -> Option<Vec<Token>> {
        if !self.skip_mark('(') {
            return None;
        }
        let mut inside = Vec::new();
        let mut depth = 1;
        for token in self.0.by_ref() {
            match token {
                Token::Mark('(') => depth += 1,
                Token::Mark(')') => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                break;
            }
            inside.push(token);
        }
        Some(inside)
    }
}

/// Divides `tokens` at the commas that stand in no parentheses.
pub(super) fn split(tokens: Vec<Token>) -> Vec<Vec<Token>> {
    let mut parts = vec![Vec::new()];
    let mut depth = 0;
    for token in tokens {
        match token {
            Token::Mark('(') => depth += 1,
            Token::Mark(')') => depth -= 1,
            Token::Mark(',') if depth == 0 => {
                parts.push(Vec::new());
                continue;
            }
            _ => {}
        }
        if let Some(part) = parts.last_mut() {
            part.push(token);
        }
    }
    parts
}

fn tokenize(sql: &str) -> Vec<Token> {
    let mut rest = sql;
    let mut tokens = Vec::new();
    while let Some(first) = rest.chars().next() {
        let (token, length) = match first {
            '-' if rest.starts_with("--") => (None, rest.find('\n').unwrap_or(rest.len())),
            '/' if rest.starts_with("/*") => (
                None,
                rest.get(2..)
                    .and_then(|it| it.find("*/"))
                    .map_or(rest.len(), |at| at + 4),
            ),
            '\'' | '"' | '`' => quoted(rest, first),
            '[' => {
                let end = rest.find(']').unwrap_or(rest.len());
                (Some(Token::Name(rest[1..end].to_owned())), end + 1)
            }
            'x' | 'X' if rest[1..].starts_with('\'') => {
                let (token, length) = quoted(&rest[1..], '\'');
                let digits = token.as_ref().and_then(Token::name).unwrap_or_default();
                (Some(Token::Blob(unhex(digits))), length + 1)
            }
            '0'..='9' | '.' => number(rest),
            _ if first.is_whitespace() => (None, first.len_utf8()),
            _ if is_word(first) => {
                let end = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
                (Some(Token::Word(rest[..end].to_owned())), end)
            }
            _ => (Some(Token::Mark(first)), first.len_utf8()),
        };
        tokens.extend(token);
        rest = rest.get(length..).unwrap_or_default();
    }
    tokens
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == '$' || !c.is_ascii()
}

/// A quoted name or string at the beginning of `sql`, in which a doubled quote stands for itself.
fn quoted(sql: &str, quote: char) -> (Option<Token>, usize) {
    let mut text = String::new();
    let mut characters = sql.char_indices().skip(1).peekable();
    let mut end = sql.len();
    while let Some((at, c)) = characters.next() {
        if c == quote && characters.next_if(|&(_, next)| next == quote).is_none() {
            end = at + 1;
            break;
        }
        text.push(c);
    }
    let token = if quote == '\'' {
        Token::String(text)
    } else {
        Token::Name(text)
    };
    (Some(token), end)
}

/// A number at the beginning of `sql`; a dot alone is a mark.
fn number(sql: &str) -> (Option<Token>, usize) {
    let mut before = ' ';
    let hexadecimal = sql.starts_with("0x") || sql.starts_with("0X");
    let end = sql
        .find(|c: char| {
            let exponent = !hexadecimal && matches!(before, 'e' | 'E') && matches!(c, '+' | '-');
            before = c;
            !(c.is_ascii_alphanumeric() || c == '.' || c == '_' || exponent)
        })
        .unwrap_or(sql.len());
    if &sql[..end] == "." {
        (Some(Token::Mark('.')), 1)
    } else {
        (Some(Token::Number(sql[..end].to_owned())), end)
    }
}

fn unhex(digits: &str) -> Vec<u8> {
    let digits: Vec<u8> = digits
        .chars()
        .filter_map(|c| u8::try_from(c.to_digit(16)?).ok())
        .collect();
    digits
        .chunks_exact(2)
        .map(|pair| pair[0] << 4 | pair[1])
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn quotes_comments_and_numbers() {
        let tokens = tokenize("a\"b\"\"c\"[d e]`f`'g''h' -- i\n/* j */x'0aFF'1.5e-3 0x10.(é;");
        let expected = [
            Token::Word("a".into()),
            Token::Name("b\"c".into()),
            Token::Name("d e".into()),
            Token::Name("f".into()),
            Token::String("g'h".into()),
            Token::Blob(vec![0x0a, 0xff]),
            Token::Number("1.5e-3".into()),
            Token::Number("0x10.".into()),
            Token::Mark('('),
            Token::Word("é".into()),
            Token::Mark(';'),
        ];
        assert_eq!(tokens, expected);
    }

    proptest! {
        #[test]
        fn any_text_has_tokens(sql in "[-/*'\"`\\[\\]xX0-9a-c.,() \\né]{0,40}") {
            prop_assert!(tokenize(&sql).len() <= sql.len());
        }
    }
}
