use super::*;
use proptest::prelude::*;

fn word(text: &str) -> Kind {
    Kind::Word(text.to_owned())
}

fn text(text: &str) -> Kind {
    Kind::Text(text.to_owned())
}

fn kinds(source: &str) -> Vec<Kind> {
    Lexer::new(source).map(|token| token.kind).collect()
}

/// Each of them is taken by `kamailio -c` of 5.6, and means this there.
#[test]
fn strings_are_those_of_kamailio() {
    for (source, expected) in [
        (r#""a # b // c /* d""#, "a # b // c /* d"),
        ("'a # b // c \" d'", "a # b // c \" d"),
        (r"'a\n'", r"a\n"),
        (r#""\"\\\n\t\x2e\056\q\1""#, "\"\\\n\t..\\q\\1"),
        ("\"a\\\nb\"", "ab"),
        ("\"a\"\n  \"b\"", "ab"),
        ("\"a\nb\"", "a\nb"),
        ("\"ü\\ü\"", "ü\\ü"),
    ] {
        assert_eq!(kinds(source), [text(expected)], "{source}");
    }
    assert_eq!(kinds("'a' 'b'"), [text("a"), text("b")]);
    assert_eq!(kinds("\"a\" # x\n\"b\""), [text("a"), text("b")]);
}

#[test]
fn comments_end_where_they_end_in_kamailio() {
    for source in [
        "a # b\nc",
        "a // b\nc",
        "a /* b */ c",
        "a /* /* b */ \" */ c",
        "a #!KAMAILIO\nc",
        "a ##!define b c\nc",
        "a //#!define b c\nc",
        "a #!endif of b\nc",
        "a #!defined b\nc",
    ] {
        assert_eq!(kinds(source), [word("a"), word("c")], "{source}");
    }
}

#[test]
fn variables_have_no_strings_and_no_comments_in_them() {
    let dollar = Kind::Mark('$');
    for variable in ["$ru", "$(ru{s.select,0,'})", "$hdr(#)", "$sht(a=>x//\"(b))"] {
        let found = kinds(&format!("{variable} 'x'"));
        assert_eq!(found, [dollar.clone(), text("x")], "{variable}");
    }
}

#[test]
fn directives_have_what_they_apply_to() {
    let directive = |name, what: &str| Kind::Directive(name, what.to_owned());
    for (source, expected) in [
        ("#!define A 1 // x", directive("define", "A 1 // x")),
        ("!!define A", directive("define", "A")),
        ("  #!trydef\tA \"x\"", directive("trydef", "A \"x\"")),
        ("#!define A \"x\\\ny\"", directive("define", "A \"xy\"")),
        ("#!ifdef A # of b", directive("ifdef", "A # of b")),
        ("#!endif  ", directive("endif", "")),
        ("#!substdef \"!A!b!g\"", directive("substdef", "!A!b!g")),
        ("#!substdefs\n'/A/b/'", directive("substdefs", "/A/b/")),
        ("include_file \"a.cfg\"", Kind::Include("a.cfg".to_owned())),
        ("#!import_file \"a b\"", Kind::Include("a".to_owned())),
    ] {
        assert_eq!(kinds(source).first(), Some(&expected), "{source}");
    }
}

#[test]
fn what_is_skipped_is_not_read() {
    let mut lexer = Lexer::new("#!ifdef A\ndon't /* \" ü ## #!endif\n#!else\nb");
    let next = |token: Option<Token>| token.map(|token| (token.line, token.kind));
    let directive = |line, name, what: &str| Some((line, Kind::Directive(name, what.to_owned())));
    assert_eq!(next(lexer.next()), directive(1, "ifdef", "A"));
    assert_eq!(next(lexer.next_condition()), directive(2, "endif", ""));
    assert_eq!(next(lexer.next_condition()), directive(3, "else", ""));
    assert_eq!(next(lexer.next()), Some((4, word("b"))));
    assert_eq!(next(lexer.next_condition()), None);
}

#[test]
fn lines_are_counted_through_everything() {
    let source = "a\n/*\n*/ \"\n\" 'x\n'\n\\\nb";
    let lines: Vec<usize> = Lexer::new(source).map(|token| token.line).collect();
    assert_eq!(lines, [1, 3, 4, 7]);
}

proptest! {
    #[test]
    fn any_text_comes_to_an_end(source in r#"([a"'#!/*\\$()xn0-9 \nü,]|#!ifdef |#!define |include_file )*"#) {
        let most = source.chars().count();
        prop_assert!(Lexer::new(&source).take(most + 1).count() <= most);
        let mut lexer = Lexer::new(&source);
        let skipped = std::iter::from_fn(|| lexer.next_condition());
        prop_assert!(skipped.take(most + 1).count() <= most);
    }
}
