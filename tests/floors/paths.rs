//! The paths that a source file names: those of `use` trees, and those in the code itself, macros included.

use std::collections::BTreeSet;

use proc_macro2::{Delimiter, Spacing, TokenStream, TokenTree};

/// The paths in `text`, the source of `module`, by their segments. Those of the crate are absolute and start with
/// `crate`; others are left as they stand there.
pub(super) fn of(text: &str, module: &[String]) -> BTreeSet<Vec<String>> {
    let tokens: TokenStream = text.parse().expect("the source is Rust");
    let mut found = BTreeSet::new();
    Scan { found: &mut found }.tokens(tokens, module);
    found
}

struct Scan<'a> {
    found: &'a mut BTreeSet<Vec<String>>,
}

impl Scan<'_> {
    /// Everything in `tokens`, which stand in `module`.
    fn tokens(&mut self, tokens: TokenStream, module: &[String]) {
        let trees: Vec<_> = tokens.into_iter().collect();
        let mut at = 0;
        while at < trees.len() {
            match &trees[at] {
                TokenTree::Ident(word) if word == "mod" => at = self.nested(&trees, at, module),
                TokenTree::Ident(_) => at = self.path(&trees, at, &[], module),
                TokenTree::Group(group) => {
                    self.tokens(group.stream(), module);
                    at += 1;
                }
                TokenTree::Punct(_) | TokenTree::Literal(_) => at += 1,
            }
        }
    }

    /// `mod name { … }`, or `mod name;`; returns where it ends.
    fn nested(&mut self, trees: &[TokenTree], at: usize, module: &[String]) -> usize {
        if let (Some(TokenTree::Ident(name)), Some(TokenTree::Group(group))) =
            (trees.get(at + 1), trees.get(at + 2))
        {
            let mut inner = module.to_vec();
            inner.push(name.to_string());
            self.tokens(group.stream(), &inner);
            return at + 3;
        }
        at + 1
    }

    /// The path that starts at `at`, below `prefix`; returns where it ends.
    fn path(
        &mut self,
        trees: &[TokenTree],
        mut at: usize,
        prefix: &[String],
        module: &[String],
    ) -> usize {
        let mut segments = prefix.to_vec();
        while let Some(TokenTree::Ident(word)) = trees.get(at) {
            segments.push(word.to_string());
            at += 1;
            if !is_separator(trees, at) {
                break;
            }
            at += 2;
        }
        match trees.get(at) {
            // A tree of imports: `a::{b, c::d}`.
            Some(TokenTree::Group(group))
                if group.delimiter() == Delimiter::Brace
                    && is_separator(trees, at.wrapping_sub(2)) =>
            {
                let branches: Vec<_> = group.stream().into_iter().collect();
                let mut branch = 0;
                while branch < branches.len() {
                    branch = match branches[branch] {
                        TokenTree::Ident(_) => self.path(&branches, branch, &segments, module),
                        _ => branch + 1,
                    };
                }
                at + 1
            }
            _ => {
                self.found.insert(absolute(segments, module));
                at
            }
        }
    }
}

/// Whether `::` stands at `at`.
fn is_separator(trees: &[TokenTree], at: usize) -> bool {
    let colon = |tree: Option<&TokenTree>, spacing: Option<Spacing>| {
        matches!(tree, Some(TokenTree::Punct(mark)) if mark.as_char() == ':'
            && spacing.is_none_or(|spacing| mark.spacing() == spacing))
    };
    colon(trees.get(at), Some(Spacing::Joint)) && colon(trees.get(at + 1), None)
}

/// The path from the crate's root, where `self` or `super` start it.
fn absolute(segments: Vec<String>, module: &[String]) -> Vec<String> {
    let ups = segments.iter().take_while(|one| *one == "super").count();
    let own = segments.iter().take_while(|one| *one == "self").count();
    if ups + own == 0 {
        return segments;
    }
    let kept = module.len().saturating_sub(ups);
    let mut path = vec!["crate".to_owned()];
    path.extend_from_slice(&module[..kept]);
    path.extend(segments.into_iter().skip(ups + own));
    path
}

#[test]
fn every_spelling_of_a_path_is_seen() {
    let source = r#"
        //! use crate::comment::X;
        use crate::{a::B, c::{self, D as E}, f};
        use super::super::g::H;
        use self::i::J;
        pub use hyper::{body::Body, Request};
        const TEXT: &str = "crate::text::X";
        fn k() { tracing::warn!(count = crate::l::M, "{}", super::n::o()); crate::p::<crate::q::R>() }
        mod tests { use super::*; use super::s::T; }
    "#;
    let module = ["room".to_owned(), "file".to_owned()];
    let found: BTreeSet<_> = of(source, &module)
        .iter()
        .map(|path| path.join("::"))
        .collect();
    for path in [
        "crate::a::B",
        "crate::c::self",
        "crate::c::D",
        "crate::f",
        "crate::g::H",
        "crate::room::file::i::J",
        "hyper::body::Body",
        "hyper::Request",
        "crate::l::M",
        "crate::room::n::o",
        "crate::p",
        "crate::q::R",
        "crate::room::file::s::T",
    ] {
        assert!(found.contains(path), "{path} is not among {found:?}");
    }
    for text in ["comment", "text"] {
        assert!(!found.iter().any(|path| path.contains(text)), "{found:?}");
    }
}
