//! What Kazoo's attributes say of a registration.

use std::borrow::Cow;

use serde_json::{Map, Value};

use crate::registration::{Binding, Name, Text};

/// The attribute in which Kazoo keeps a JSON object about the phone's device.
const CHANNEL_VARS: &[u8] = b"custom_channel_vars";

/// The attribute `AUTHORIZING@ACCOUNT`.
const TOKEN: &[u8] = b"token";

/// The custom channel vars of a binding.
#[derive(Default)]
pub(super) struct Vars<'a> {
    /// As they stand in the attribute.
    text: Option<&'a Text>,
    vars: Map<String, Value>,
}

/// What the attribute `AUTHORIZING@ACCOUNT` says, each part absent where empty.
#[derive(Default)]
pub(super) struct Token {
    pub(super) authorizing: Option<Text>,
    pub(super) account: Option<Text>,
}

impl<'a> Vars<'a> {
    /// Those of the binding; none where it has none.
    pub(super) fn of(binding: &'a Binding) -> Result<Self, serde_json::Error> {
        let text = binding.attributes.get(CHANNEL_VARS);
        let vars = match text {
            Some(text) if !text.is_empty() => serde_json::from_str(&text.lossy())?,
            _ => Map::new(),
        };
        Ok(Self { text, vars })
    }

    /// The var, where it is a text that is not empty.
    pub(super) fn str(&self, name: &str) -> Option<&str> {
        let text = self.vars.get(name)?.as_str();
        text.filter(|text| !text.is_empty())
    }

    /// The var as a part of the attribute, which is kept anyway.
    pub(super) fn text(&self, name: &str) -> Option<Text> {
        Some(self.text?.part(self.str(name)?.as_bytes()))
    }

    /// Kazoo writes booleans as such or as text.
    pub(super) fn flag(&self, name: &str) -> Option<bool> {
        match self.vars.get(name)? {
            Value::Bool(flag) => Some(*flag),
            Value::String(text) => text.to_ascii_lowercase().parse().ok(),
            _ => None,
        }
    }

    /// The var, where it is `lowered` (as usrloc stores it) in its original case; else `lowered`.
    pub(super) fn original<'b>(&'b self, name: &str, lowered: &'b str) -> Cow<'b, str> {
        let same = |text: &&str| text.to_lowercase() == lowered.to_lowercase();
        self.str(name).filter(same).unwrap_or(lowered).into()
    }

    /// The username in its original case, as far as known.
    pub(super) fn username(&self, binding: &Binding, name: &Name<'_>) -> Text {
        let lowered = String::from_utf8_lossy(&name.user);
        let original = self.original("Username", &lowered);
        match (self.text, &name.user) {
            (Some(text), _) if *original != *lowered => text.part(original.as_bytes()),
            (_, Cow::Borrowed(_)) => binding.username.clone(),
            (_, Cow::Owned(user)) => user.as_slice().into(),
        }
    }
}

impl Token {
    /// What the binding's attribute says.
    pub(super) fn of(binding: &Binding) -> Self {
        let token = binding.attributes.get(TOKEN).map(Self::parse);
        token.unwrap_or_default()
    }

    /// Empty if there is no `@`; the account follows the last one.
    fn parse(token: &Text) -> Self {
        let mut halves = token.as_bytes().rsplitn(2, |byte| *byte == b'@');
        let (Some(account), Some(authorizing)) = (halves.next(), halves.next()) else {
            return Self::default();
        };
        let filled = |part: &[u8]| (!part.is_empty()).then(|| token.part(part));
        Self {
            authorizing: filled(authorizing),
            account: filled(account),
        }
    }
}
