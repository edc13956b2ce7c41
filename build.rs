//! Tells the program by which compiler it is built, for `usrlocd_build_info`.

use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
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
}
