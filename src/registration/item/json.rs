//! Items as JSON.

use std::sync::LazyLock;

use crate::registration::Details;
use crate::registration::item::{Field, Item, Value, Wire};

/// The fields, each with its key as it stands in JSON, with its colon.
static KEYS: LazyLock<Vec<(Field, String)>> = LazyLock::new(|| {
    let key = |field: &Field| (*field, format!("\"{}\":", field.name()));
    Field::ALL.iter().map(key).collect()
});

/// Appends the item as one JSON object.
pub fn write_item(item: &Item<'_>, out: &mut Vec<u8>) {
    out.reserve(2048);
    write_each(item, KEYS[..Field::OF_FLEET.len()].iter(), out);
}

/// Appends these fields of the item, in this order, as one JSON object.
pub fn write_chosen(item: &Item<'_>, fields: &[Field], out: &mut Vec<u8>) {
    write_each(item, fields.iter().map(|field| &KEYS[*field as usize]), out);
}

/// Appends those fields of the registration that are `wanted`, at `now` (Unix seconds), as one JSON object.
pub fn write_fields(
    one: &Details,
    wire: Wire,
    now: i64,
    wanted: impl Fn(Field) -> bool,
    out: &mut Vec<u8>,
) {
    let item = Item {
        registration: one,
        wire,
        now,
        flap: None,
    };
    out.reserve(2048);
    let keys = KEYS.iter().filter(|(field, _)| wanted(*field));
    write_each(&item, keys, out);
}

fn write_each<'a>(
    item: &Item<'_>,
    keys: impl Iterator<Item = &'a (Field, String)>,
    out: &mut Vec<u8>,
) {
    let mut separator = b'{';
    for (field, key) in keys {
        if let Some(value) = item.value(*field) {
            out.push(separator);
            out.extend_from_slice(key.as_bytes());
            write_value(&value, out);
            separator = b',';
        }
    }
    if separator == b'{' {
        out.push(separator);
    }
    out.push(b'}');
}

/// Appends `text` as a JSON string.
pub fn write_string(text: &str, out: &mut Vec<u8>) {
    // Looks at every byte, without an early end, because that is one vector operation for sixteen of them.
    let plain = |byte: &u8| u8::from(*byte >= 0x20 && *byte != b'"' && *byte != b'\\');
    let all_plain = text.bytes().fold(1, |all, byte| all & plain(&byte));
    if all_plain == 0 {
        // Writing to memory does not fail.
        let _ = serde_json::to_writer(out, text);
        return;
    }
    out.push(b'"');
    out.extend_from_slice(text.as_bytes());
    out.push(b'"');
}

/// Appends the value of a field.
///
/// # Panics
/// Never: writing to memory does not fail.
pub fn write_value(value: &Value<'_>, out: &mut Vec<u8>) {
    match value {
        Value::Text(text) => write_string(text, out),
        Value::Port(number) => {
            out.push(b'"');
            write_integer(*number, out);
            out.push(b'"');
        }
        Value::Integer(number) => write_integer(*number, out),
        Value::Number(number) => {
            // Writing to memory does not fail.
            let _ = serde_json::to_writer(out, number);
        }
        Value::Flap(flap) => out.extend_from_slice(flap.to_string().as_bytes()),
        Value::Successor(successor) => out.extend_from_slice(successor.to_string().as_bytes()),
        Value::Flag(flag) => out.extend_from_slice(if *flag { b"true" } else { b"false" }),
    }
}

fn write_integer(number: impl itoa::Integer, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}
