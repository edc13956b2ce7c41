//! A statement that sets a module's parameter, put together from tokens. Pure.

use crate::cfg_lexer::Kind;

/// What sets a module's parameter.
pub(super) const MODPARAM: &str = "modparam";

/// How many tokens of one are more than Kamailio takes.
const LONGEST: usize = 16;

/// A `modparam`, as far as it has been read.
#[derive(Debug, Default)]
pub(super) struct Statement {
    /// The line that it begins on, once it has begun.
    line: Option<usize>,
    /// What follows `modparam`.
    tokens: Vec<Kind>,
}

/// `modparam("usrloc", "db_mode", 2)`
#[derive(Debug)]
pub(super) struct Parameter {
    /// A pattern.
    modules: String,
    pub(super) name: String,
    pub(super) value: String,
    pub(super) line: usize,
}

impl Parameter {
    /// Whether it is of this module: the pattern is the whole name, in any case of letters.
    pub(super) fn is_of(&self, module: &str) -> bool {
        let pattern = regex_lite::Regex::new(&format!("(?i)^({})$", self.modules));
        pattern.is_ok_and(|pattern| pattern.is_match(module))
    }
}

impl Statement {
    /// Goes on with a token; returns the parameter if the statement ends with it.
    pub(super) fn add(&mut self, line: usize, kind: Kind) -> Option<Parameter> {
        if kind == Kind::Word(MODPARAM.to_owned()) {
            self.line = Some(line);
            self.tokens.clear();
            return None;
        }
        let begun = self.line?;
        if kind != Kind::Mark(')') {
            self.tokens.push(kind);
            if self.tokens.len() > LONGEST {
                self.line = None;
            }
            return None;
        }
        self.line = None;
        let tokens = std::mem::take(&mut self.tokens);
        let comma = Kind::Mark(',');
        let (modules, name, value) = match &tokens[..] {
            [
                Kind::Mark('('),
                Kind::Text(modules),
                one,
                Kind::Text(name),
                two,
                value @ ..,
            ] if *one == comma && *two == comma => (modules, name, value),
            _ => return None,
        };
        let value = match value {
            [Kind::Text(text)] => text.clone(),
            [Kind::Word(word)] => number(word).unwrap_or_else(|| word.clone()),
            [Kind::Mark('-'), Kind::Word(word)] => format!("-{}", number(word)?),
            _ => return None,
        };
        Some(Parameter {
            modules: modules.clone(),
            name: name.clone(),
            value,
            line: begun,
        })
    }
}

/// A number in decimal, as Kamailio writes them: `0x2`, `010` and `10b` are numbers too, and so is `yes`.
fn number(word: &str) -> Option<String> {
    let of = |digits, radix| i64::from_str_radix(digits, radix).ok();
    let number = match word {
        "yes" | "true" | "on" | "enable" => Some(1),
        "no" | "false" | "off" | "disable" => Some(0),
        _ if word.starts_with("0x") => of(&word[2..], 16),
        _ if word.len() > 1 && word.starts_with('0') && of(word, 8).is_some() => of(word, 8),
        _ if word.ends_with('b') => of(&word[..word.len() - 1], 2),
        _ => of(word, 10),
    };
    number.map(|number| number.to_string())
}
