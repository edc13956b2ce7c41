//! Who this node is: an id in a file beside the store, made once.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// The name of the file.
const NAME: &str = "fleet-id";

/// The id in the file beside the store, which is made if it is not there: a UUID of version 4 (RFC 9562).
///
/// # Errors
/// When it cannot be read or made, or has something else.
pub fn load_or_make(store: &Path) -> io::Result<String> {
    let file = file(store);
    match fs::read_to_string(&file) {
        Ok(text) => parse(&text).ok_or_else(|| {
            let message = format!("{} does not hold the id of a node", file.display());
            io::Error::new(io::ErrorKind::InvalidData, message)
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => make(&file),
        Err(error) => Err(error),
    }
}

/// The id in the file beside the store, if there is one.
#[must_use]
pub fn load(store: &Path) -> Option<String> {
    parse(&fs::read_to_string(file(store)).ok()?)
}

/// The file beside this store.
#[must_use]
pub fn file(store: &Path) -> PathBuf {
    store.with_file_name(NAME)
}

/// Whole or not at all: after a power cut a node must not be another one.
fn make(file: &Path) -> io::Result<String> {
    let id = random()?;
    let part = file.with_extension("part");
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o640);
    let mut written = options.open(&part)?;
    writeln!(written, "{id}")?;
    written.sync_all()?;
    fs::rename(&part, file)?;
    Ok(id)
}

/// A random UUID.
///
/// # Errors
/// When the operating system has nothing random.
pub fn random() -> io::Result<String> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(io::Error::other)?;
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let digits = hex::encode(bytes);
    let parts = [
        &digits[..8],
        &digits[8..12],
        &digits[12..16],
        &digits[16..20],
        &digits[20..],
    ];
    Ok(parts.join("-"))
}

fn parse(text: &str) -> Option<String> {
    let id = text.trim();
    let is_good = id.len() == 36
        && id.chars().enumerate().all(|(place, c)| match place {
            8 | 13 | 18 | 23 => c == '-',
            _ => c.is_ascii_hexdigit(),
        });
    is_good.then(|| id.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn an_id_is_made_once_and_stays() {
        let folder = tempfile::tempdir().unwrap();
        let store = folder.path().join("usrlocd.db");
        let id = load_or_make(&store).unwrap();
        assert_eq!(load_or_make(&store).unwrap(), id);
        assert_eq!((id.len(), &id[14..15]), (36, "4"));
        assert_ne!(random().unwrap(), id);
        let mode = fs::metadata(file(&store)).unwrap().permissions().mode();
        assert_eq!(mode & 0o137, 0, "{mode:o}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn another_file_is_left_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let store = folder.path().join("usrlocd.db");
        for text in ["", "x", "01234567-0123-4123-8123-0123456789ag"] {
            fs::write(file(&store), text).unwrap();
            let refused = load_or_make(&store).unwrap_err();
            assert_eq!(refused.kind(), io::ErrorKind::InvalidData);
            assert_eq!(fs::read_to_string(file(&store)).unwrap(), text);
        }
    }
}
