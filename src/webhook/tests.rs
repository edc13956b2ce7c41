mod delivery;
mod log;
mod receiver;
mod sending;

use super::*;

/// In base64 as the specification has it, and what the independent library takes.
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// A secret that no hook has.
fn other_secret() -> Secret {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("secret");
    std::fs::write(&file, "whsec_AQID").unwrap();
    Secret::read(&file).unwrap().0
}

/// A hook called `crm` that sends to `url`.
fn hook(url: &str, more: &str) -> Hook {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("secret");
    std::fs::write(&file, SECRET).unwrap();
    let text = format!(
        "[[webhook]]\nname = \"crm\"\nurl = \"{url}\"\nsecret_file = \"{}\"\n{more}",
        file.display()
    );
    let config = Config::parse(&text, "f").unwrap();
    load(&config).unwrap().hooks.remove(0)
}
