//! Text without regard to case.

/// Appends the text in one case, so that texts that differ in case alone become the same; what is not UTF-8 as U+FFFD.
pub(super) fn fold(text: &[u8], out: &mut Vec<u8>) {
    if text.is_ascii() {
        let start = out.len();
        out.extend_from_slice(text);
        out[start..].make_ascii_lowercase();
        return;
    }
    // Upper case first: some letters have several lower-case forms, such as the two of sigma.
    let text = String::from_utf8_lossy(text);
    let upper = text.chars().flat_map(char::to_uppercase);
    for letter in upper.flat_map(char::to_lowercase) {
        out.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes());
    }
}

/// The text in one case.
pub(super) fn folded(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    fold(text, &mut out);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_makes_no_difference() {
        for (one, other) in [
            ("Yealink T46", "yEALINK t46"),
            ("ΣΊΣΥΦΟΣ", "σίσυφος"),
            ("Straße", "STRASSE"),
            ("ÅNGSTRÖM", "ångström"),
            ("ДОМ", "дом"),
            ("\u{212a}elvin", "kelvin"),
        ] {
            assert_eq!(folded(one.as_bytes()), folded(other.as_bytes()), "{one}");
        }
        assert_ne!(folded("é".as_bytes()), folded(b"e"));
        assert_eq!(folded(b"A\xff"), "a\u{fffd}".as_bytes());
    }
}
