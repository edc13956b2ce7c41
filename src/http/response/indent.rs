//! Indented JSON, for people. It is made of compact JSON, piece by piece.

/// The same JSON with a line for each value.
pub(crate) fn indented(json: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(json.len() * 2);
    Indent::default().write(json, &mut out);
    out
}

/// Indents JSON that comes in pieces.
#[derive(Debug, Default)]
pub(crate) struct Indent {
    depth: usize,
    in_text: bool,
    escaped: bool,
    /// A bracket was opened, and it is not yet known whether anything is in it.
    opened: bool,
}

impl Indent {
    /// Appends the next piece, indented.
    pub(crate) fn write(&mut self, json: &[u8], out: &mut Vec<u8>) {
        for byte in json {
            self.byte(*byte, out);
        }
    }

    fn byte(&mut self, byte: u8, out: &mut Vec<u8>) {
        if self.in_text {
            out.push(byte);
            self.in_text = self.escaped || byte != b'"';
            self.escaped = !self.escaped && byte == b'\\';
            return;
        }
        let closes = matches!(byte, b'}' | b']');
        if closes {
            self.depth = self.depth.saturating_sub(1);
        }
        if closes != self.opened {
            self.line(out);
        }
        self.opened = false;
        out.push(byte);
        match byte {
            b'{' | b'[' => {
                self.depth += 1;
                self.opened = true;
            }
            b',' => self.line(out),
            b':' => out.push(b' '),
            b'"' => self.in_text = true,
            _ => {}
        }
    }

    fn line(&self, out: &mut Vec<u8>) {
        out.push(b'\n');
        out.extend(std::iter::repeat_n(b' ', 2 * self.depth));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indents_as_people_write_it() {
        let json = br#"{"a":[],"b":{"c":"x,{\"}\\","d":[1,2]},"e":{}}"#;
        let expected = "{\n  \"a\": [],\n  \"b\": {\n    \"c\": \"x,{\\\"}\\\\\",\n    \"d\": [\n      1,\n      2\n    ]\n  },\n  \"e\": {}\n}";
        assert_eq!(String::from_utf8(indented(json)).unwrap(), expected);
    }
}
