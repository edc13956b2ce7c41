//! The secret of a hook, and signatures as Standard Webhooks has them.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::document::{Place, Problem};

/// What a secret in base64 starts with.
const PREFIX: &str = "whsec_";

/// Fewer bytes can be guessed (Standard Webhooks asks for 24 to 64).
const FEW: usize = 24;

/// Longer files hold something else.
const MOST: usize = 4096;

/// The mode bits that let strangers read.
const WORLD_READABLE: u32 = 0o004;

/// The key that signs. Never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Vec<u8>);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl Secret {
    /// The secret in the file, and a sentence about what is wrong with it that does not make it unusable.
    ///
    /// # Errors
    /// Where the file cannot be read or has no secret in it.
    pub fn read(file: &Path) -> Result<(Self, Option<String>), Problem> {
        let name = file.to_string_lossy();
        let unreadable = |error| Problem::unreadable(&name, &error);
        let bytes = fs::read(file).map_err(unreadable)?;
        let mode = fs::metadata(file).map_err(unreadable)?.mode();
        let secret =
            Self::parse(&bytes).map_err(|message| Problem::new(Place::at(&name, 1, 1), message))?;
        let warning = if mode & WORLD_READABLE != 0 {
            Some(format!(
                "{name}: anyone can read the secret; run: chmod o-r {name}"
            ))
        } else if secret.0.len() < FEW {
            Some(format!(
                "{name}: the secret has only {} bytes; use at least {FEW}",
                secret.0.len()
            ))
        } else {
            None
        };
        Ok((secret, warning))
    }

    /// The secret that these bytes are, without spaces and line ends around it: `whsec_` and base64, or the bytes
    /// themselves.
    fn parse(bytes: &[u8]) -> Result<Self, &'static str> {
        let bytes = bytes.trim_ascii();
        let secret = match bytes.strip_prefix(PREFIX.as_bytes()) {
            Some(base64) => STANDARD
                .decode(base64)
                .map_err(|_| "the secret starts with whsec_, but the rest is not base64")?,
            None => bytes.to_vec(),
        };
        match secret.len() {
            0 => Err("the file contains no secret; create one with: \
                      echo whsec_$(head -c 32 /dev/urandom | base64)"),
            1..=MOST => Ok(Self(secret)),
            _ => Err("the file is too long for a secret"),
        }
    }

    /// The value of `webhook-signature`: HMAC-SHA256 over `id.timestamp.body`.
    pub(super) fn sign(&self, id: &str, timestamp: i64, body: &[u8]) -> String {
        let mut mac =
            Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes a key of any length");
        mac.update(format!("{id}.{timestamp}.").as_bytes());
        mac.update(body);
        format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn signs_as_the_specification_shows() {
        // The example of the specification's text.
        let secret = Secret::parse(b"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n").unwrap();
        let signature = secret.sign(
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1_614_265_330,
            br#"{"test": 2432232314}"#,
        );
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn a_secret_is_base64_or_raw() {
        let raw = Secret::parse(b" some secret with spaces\n").unwrap();
        assert_eq!(raw.0, b"some secret with spaces");
        assert_eq!(Secret::parse(b"whsec_AQID").unwrap().0, [1, 2, 3]);
        for bad in [&b""[..], b" \n", b"whsec_", b"whsec_*", &[b'a'; MOST + 1]] {
            Secret::parse(bad).unwrap_err();
        }
        assert_eq!(format!("{raw:?}"), "Secret(…)");
    }

    #[test]
    fn a_file_that_strangers_can_read_is_reported() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("secret");
        fs::write(&file, "0123456789abcdef0123456789abcdef\n").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
        let warning = Secret::read(&file).unwrap().1.unwrap();
        assert!(warning.contains("chmod o-r"), "{warning}");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(Secret::read(&file).unwrap().1, None);
        fs::write(&file, "short").unwrap();
        let warning = Secret::read(&file).unwrap().1.unwrap();
        assert!(warning.contains("only 5 bytes"), "{warning}");
        fs::remove_file(&file).unwrap();
        let problem = Secret::read(&file).unwrap_err();
        assert!(problem.to_string().contains("cannot be read"), "{problem}");
    }
}
