//! What Kazoo's attributes say of a registration.

use std::borrow::Cow;

use serde_json::{Map, Value};

use crate::registration::{Attributes, Binding, Name, Object, Text};

/// The attribute in which Kazoo keeps a JSON object about the phone's device.
const CHANNEL_VARS: &[u8] = b"custom_channel_vars";

/// The attribute `AUTHORIZING@ACCOUNT`.
const TOKEN: &[u8] = b"token";

/// The custom channel vars of a binding.
#[derive(Default)]
pub(super) struct Vars<'a> {
    /// What they are among.
    attributes: Option<&'a Attributes>,
    vars: Known<'a>,
}

/// What is known of them.
enum Known<'a> {
    /// Their shape is known: nothing has to be parsed.
    Shared(Object<'a>),
    Parsed(Map<String, Value>),
}

/// What the attribute `AUTHORIZING@ACCOUNT` says, each part absent where empty.
#[derive(Default)]
pub(super) struct Token<'a> {
    text: Cow<'a, [u8]>,
    /// Where the last `@` is.
    at: Option<usize>,
}

impl<'a> Vars<'a> {
    /// Those of the binding; none where it has none.
    pub(super) fn of(binding: &'a Binding) -> Result<Self, serde_json::Error> {
        let attributes = &binding.attributes;
        let vars = match attributes.object(CHANNEL_VARS) {
            Some(object) => Known::Shared(object),
            None => match attributes.get(CHANNEL_VARS) {
                Some(text) if !text.is_empty() => {
                    Known::Parsed(serde_json::from_str(&String::from_utf8_lossy(&text))?)
                }
                Some(_) | None => Known::default(),
            },
        };
        Ok(Self {
            attributes: Some(attributes),
            vars,
        })
    }

    /// The var, where it is a text that is not empty.
    pub(super) fn str(&self, name: &str) -> Option<&str> {
        let text = match &self.vars {
            Known::Shared(object) => object.text(name),
            Known::Parsed(vars) => vars.get(name)?.as_str(),
        };
        text.filter(|text| !text.is_empty())
    }

    /// The var as a part of the attribute, which is kept anyway.
    pub(super) fn text(&self, name: &str) -> Option<Text> {
        Some(self.attributes?.part(self.str(name)?.as_bytes()))
    }

    /// Kazoo writes booleans as such or as text.
    pub(super) fn flag(&self, name: &str) -> Option<bool> {
        let flag = match &self.vars {
            Known::Shared(object) => object.flag(name),
            Known::Parsed(vars) => vars.get(name)?.as_bool(),
        };
        flag.or_else(|| self.str(name)?.to_ascii_lowercase().parse().ok())
    }

    /// The var, where it is `lowered` (as usrloc stores it) in its original case; else `lowered`.
    pub(super) fn original<'b>(&'b self, name: &str, lowered: &'b str) -> Cow<'b, str> {
        let same =
            |text: &&str| **text == *lowered || text.to_lowercase() == lowered.to_lowercase();
        self.str(name).filter(same).unwrap_or(lowered).into()
    }

    /// The username in its original case, as far as known.
    pub(super) fn username(&self, binding: &Binding, name: &Name<'_>) -> Text {
        let lowered = String::from_utf8_lossy(&name.user);
        let original = self.original("Username", &lowered);
        match (self.attributes, &name.user) {
            (Some(all), _) if *original != *lowered => all.part(original.as_bytes()),
            (_, Cow::Borrowed(_)) => binding.username.clone(),
            (_, Cow::Owned(user)) => user.as_slice().into(),
        }
    }
}

impl Default for Known<'_> {
    fn default() -> Self {
        Self::Parsed(Map::new())
    }
}

impl<'a> Token<'a> {
    /// What the binding's attribute says.
    pub(super) fn of(binding: &'a Binding) -> Self {
        let text = binding.attributes.get(TOKEN).unwrap_or_default();
        let at = memchr::memrchr(b'@', &text);
        Self { text, at }
    }

    /// What the phone authenticated as.
    pub(super) fn authorizing(&self) -> Option<&[u8]> {
        Some(&self.text[..self.at?]).filter(|part| !part.is_empty())
    }

    /// The account follows the last `@`.
    pub(super) fn account(&self) -> Option<&[u8]> {
        Some(&self.text[self.at? + 1..]).filter(|part| !part.is_empty())
    }
}
