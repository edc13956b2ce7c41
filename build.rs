//! Tells the program by which compiler it is built, for `usrlocd_build_info`, and lists the files of the page.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

/// Where the page's files are.
const PAGE: &str = "src/ui";

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed={PAGE}");
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let version = Command::new(rustc)
        .arg("--version")
        .output()
        .ok()
        .and_then(|output| String::from_utf8(output.stdout).ok())
        // "rustc 1.95.0 (59807616e 2026-04-14)": the number says it all.
        .and_then(|text| text.split(' ').nth(1).map(str::to_owned));
    println!(
        "cargo::rustc-env=USRLOCD_RUSTC={}",
        version.as_deref().unwrap_or("unknown")
    );
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    fs::write(out.join("page.rs"), table(&out)).expect("cargo's directory can be written");
}

/// A slice of `File { path, kind, bytes }`, in Rust; the bytes are in files below `out`.
fn table(out: &Path) -> String {
    let mut files = Vec::new();
    list(Path::new(PAGE), &mut files);
    files.sort();
    let mut table = "&[\n".to_owned();
    for file in files {
        let path = file.strip_prefix(PAGE).expect("it was found there");
        let path = path.to_str().expect("a name in UTF-8");
        let kind = kind(&file);
        let sent = out.join(PAGE).join(path);
        let folder = sent.parent().expect("it is in a folder");
        fs::create_dir_all(folder).expect("cargo's directory can be written");
        fs::write(&sent, bytes(&file)).expect("cargo's directory can be written");
        writeln!(
            table,
            "File {{ path: {path:?}, kind: {kind:?}, bytes: include_bytes!(concat!(env!(\"OUT_DIR\"), \"/{PAGE}/{path}\")) }},"
        )
        .expect("a String takes all");
    }
    table + "]\n"
}

fn list(folder: &Path, files: &mut Vec<PathBuf>) {
    let entries = fs::read_dir(folder).expect("the page's folder can be read");
    for entry in entries {
        let path = entry.expect("the page's folder can be read").path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        // What editors leave behind.
        if name.starts_with('.') || name.ends_with('~') {
            continue;
        }
        if path.is_dir() {
            list(&path, files);
        } else {
            files.push(path);
        }
    }
}

/// What is sent: scripts and styles without the comments that have lines of their own. The lines stay, empty, so that a
/// browser's complaint names the line of the source.
fn bytes(file: &Path) -> Vec<u8> {
    let bytes = fs::read(file).expect("a file of the page can be read");
    let extension = file.extension().and_then(|it| it.to_str());
    if !matches!(extension, Some("css" | "js")) {
        return bytes;
    }
    let text = String::from_utf8(bytes).expect("the page is UTF-8");
    let mut is_in_comment = false;
    let mut kept = String::with_capacity(text.len());
    for line in text.lines() {
        let trimmed = line.trim();
        let begins = !is_in_comment && trimmed.starts_with("/*");
        let is_comment = is_in_comment
            || (begins && (trimmed.ends_with("*/") || !trimmed.contains("*/")))
            || (extension == Some("js") && trimmed.starts_with("//"));
        if !is_comment {
            kept.push_str(line);
        }
        is_in_comment = (is_in_comment || begins) && !trimmed.contains("*/");
        kept.push('\n');
    }
    kept.into_bytes()
}

fn kind(file: &Path) -> &'static str {
    match file.extension().and_then(|it| it.to_str()) {
        Some("html") => "text/html; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        other => panic!("{}: build.rs has no type for {other:?}", file.display()),
    }
}
