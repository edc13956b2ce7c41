use proptest::prelude::*;
use serde_json::{Map, Value};

use super::*;

const VARS: &str =
    r#"{"Account-ID":"a1","Username":"Bob","Realm":"a1","Count":17,"Suppress":true,"None":null}"#;

fn of(shapes: &mut Shapes, pairs: &[(&str, &str)]) -> Attributes {
    let pairs = pairs.iter();
    shapes.attributes(pairs.map(|(name, value)| (name.as_bytes(), value.as_bytes())))
}

fn shape(attributes: &Attributes) -> &Shape {
    &attributes.0.as_ref().expect("there are some").shape
}

/// Texts of which many look like JSON, nearly like it, or like tokens.
fn value() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop::sample::select(vec![
        "{",
        "}",
        "\"",
        "\":\"",
        "\",\"",
        ":",
        ",",
        " ",
        "a",
        "Account-ID",
        "7",
        "07",
        "1.5",
        "1e999",
        "\\",
        "\\\"",
        "@",
        "true",
        "null",
        "[",
        "]",
        "\u{e9}",
        "\u{10ffff}0",
        "\n",
        "{\"a\":\"",
        "{\"a\":7,\"b\":\"",
    ]);
    let pieces = prop::collection::vec(piece, 0..12).prop_map(|all| all.concat().into_bytes());
    let object = prop::collection::btree_map("[abA\u{e9}\"]{0,3}", scalar(), 0..6)
        .prop_map(|object| serde_json::to_vec(&object).expect("it is an object"));
    prop_oneof![pieces, object, prop::collection::vec(any::<u8>(), 0..12)]
}

fn scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        "[a-c@:{}\"\\\\\u{e9}\u{10ffff}0]{0,4}".prop_map(Value::from),
        any::<bool>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        Just(serde_json::json!({"a": "b", "c": [1, "d"]})),
        Just(Value::Null),
    ]
}

proptest! {
    #[test]
    fn attributes_are_what_they_were_made_of(
        pairs in prop::collection::vec((prop::sample::select(vec!["a", "b", "c"]), value()), 0..5),
        further in prop::collection::vec(value(), 3),
    ) {
        let mut shapes = Shapes::default();
        let bytes = || pairs.iter().map(|(name, value)| (name.as_bytes(), &value[..]));
        let made = shapes.attributes(bytes());
        let last: std::collections::BTreeMap<&[u8], &[u8]> = bytes().collect();
        let found: Vec<_> = made.iter().map(|(name, value)| (name.as_bytes().to_vec(), value.into_owned())).collect();
        let expected: Vec<_> = last.iter().map(|(name, value)| (name.to_vec(), value.to_vec())).collect();
        prop_assert_eq!(found, expected);
        prop_assert_eq!(made.len(), last.len());
        for name in [b"a", b"b", b"c"] {
            let found = made.get(name);
            prop_assert_eq!(found.as_deref(), last.get(&name[..]).copied());
            for other in further.iter().map(Vec::as_slice).chain(last.values().copied()) {
                prop_assert_eq!(made.has(name, other), last.get(&name[..]) == Some(&other));
            }
        }
        // However they are split.
        let (key, pieces) = shape::key(&last.iter().map(|(name, value)| (*name, *value)).collect::<Vec<_>>(), holes::whole);
        for piece in pieces {
            write_text(piece, shapes.pieces.bytes());
        }
        let parts = Parts { shape: shapes.known.get(&key), pieces: shapes.pieces.pack() };
        prop_assert_eq!(made, Attributes((!last.is_empty()).then_some(parts)));
    }

    /// What is read of an object without parsing it is what parsing it says.
    #[test]
    fn an_object_is_what_its_text_says(value in value(), other in value()) {
        let mut shapes = Shapes::default();
        let mut of = |value: &[u8]| shapes.attributes([(&b"vars"[..], value)]);
        let (one, other) = (of(&value), of(&other));
        prop_assert_eq!(one == other, one.get(b"vars") == other.get(b"vars"));
        for made in [one, other] {
            let Some(object) = made.object(b"vars") else { continue };
            let text = made.get(b"vars").expect("it is there");
            let parsed: Map<String, Value> = serde_json::from_slice(&text).expect("it is an object");
            for name in parsed.keys().map(String::as_str).chain(["a", "Account-ID"]) {
                let value = parsed.get(name);
                prop_assert_eq!(object.text(name), value.and_then(Value::as_str));
                prop_assert_eq!(object.flag(name), value.and_then(Value::as_bool));
            }
        }
    }
}

#[test]
fn rows_share_all_but_what_differs() {
    let mut shapes = Shapes::default();
    let other_vars = VARS
        .replace("Bob", "Alice")
        .replace("17", "123")
        .replace("a1", "a2");
    let one = of(
        &mut shapes,
        &[("token", "d1@a1"), ("custom_channel_vars", VARS)],
    );
    let other = of(
        &mut shapes,
        &[("custom_channel_vars", &other_vars), ("token", "d2@a2")],
    );
    assert!(std::ptr::eq(
        shape(&one).attributes(),
        shape(&other).attributes()
    ));
    let pieces = &one.0.as_ref().expect("there are some").pieces;
    assert_eq!(pieces.as_bytes(), b"\x02a1\x03Bob\x0217\x02d1");
    assert_eq!(
        other.get(b"custom_channel_vars").as_deref(),
        Some(other_vars.as_bytes())
    );
    assert!(one != other);
}

#[test]
fn a_part_takes_no_memory_of_its_own() {
    let attributes = of(
        &mut Shapes::default(),
        &[("token", "d1@a1"), ("custom_channel_vars", VARS)],
    );
    let object = attributes
        .object(b"custom_channel_vars")
        .expect("it is one");
    assert_eq!(
        (object.flag("Suppress"), object.text("Realm")),
        (Some(true), Some("a1"))
    );
    for part in ["d1", "Bob", "a1"] {
        let part = attributes.part(part.as_bytes());
        assert!(!part.is_alone(), "{part:?}");
    }
    assert!(attributes.part(b"elsewhere").is_alone());
}

#[test]
fn objects_with_escapes_are_kept_whole() {
    for value in [r#"{"a":"b\"c"}"#, "{\"a\":\t\"b\"}", "{\"a\":\"b\""] {
        let attributes = of(&mut Shapes::default(), &[("vars", value)]);
        assert!(attributes.object(b"vars").is_none());
        assert_eq!(attributes.get(b"vars").as_deref(), Some(value.as_bytes()));
    }
}

#[test]
fn very_many_shapes_are_not_kept() {
    let mut shapes = Shapes::default();
    let all: Vec<_> = (0..MOST_SHAPES + 10)
        .map(|number| of(&mut shapes, &[("vars", &format!("{{\"{number}\":true}}"))]))
        .collect();
    assert!(shapes.known.len() <= MOST_SHAPES + 1);
    assert!(all[MOST_SHAPES + 5].object(b"vars").is_none());
    drop(all);
    for number in 0..2 * MOST_SHAPES {
        of(&mut shapes, &[("vars", &format!("{{\"{number}b\":true}}"))]);
    }
    let again = of(&mut shapes, &[("vars", "{\"again\":true}")]);
    assert!(again.object(b"vars").is_some(), "there is room again");
}
