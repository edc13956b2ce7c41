//! The manual: a page for each verb, with the sections that a reader looks for, and nothing that groff warns of.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::support::tools;

/// Pages of verbs that read no configuration and ask no daemon.
const PLAIN: [&str; 3] = ["usrlocd-completions", "usrlocd-man", "usrlocd-openapi"];

#[test]
fn each_page_has_its_sections_and_no_warning() {
    let folder = tempfile::TempDir::new().expect("a temporary directory");
    let status = Command::new(tools::usrlocd())
        .args(["man", "--dir"])
        .arg(folder.path())
        .status();
    assert!(status.expect("usrlocd can be run").success());
    let mut pages = 0;
    for entry in fs::read_dir(folder.path()).expect("it is ours") {
        let path = entry.expect("it is ours").path();
        let text = fs::read_to_string(&path).expect("it is text");
        let name = path.file_stem().expect("it has a name").to_string_lossy();
        let mut sections = vec!["NAME", "SYNOPSIS", "DESCRIPTION", "EXAMPLES"];
        sections.extend(["\"EXIT STATUS\"", "\"SEE ALSO\""]);
        if !PLAIN.contains(&&*name) {
            sections.extend(["FILES", "ENVIRONMENT"]);
        }
        for section in sections {
            let heading = format!("\n.SH {section}\n");
            assert_eq!(text.matches(&heading).count(), 1, "{name}: {section}");
        }
        groff_is_content(&path);
        pages += 1;
    }
    assert!(pages > 15, "{pages} pages");
}

#[test]
fn the_page_of_the_configuration_has_no_warning() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = Command::new(root.join("deploy/man/configuration"))
        .arg(root.join("deploy/usrlocd.toml"))
        .output()
        .expect("sh can be run");
    let folder = tempfile::TempDir::new().expect("a temporary directory");
    let path = folder.path().join("usrlocd.toml.5");
    let text = String::from_utf8_lossy(&page.stdout);
    for section in ["KEYS", "DATABASE SERVERS", "FILES"] {
        assert!(text.contains(&format!("\n.SH {section}\n")), "{section}");
    }
    fs::write(&path, &page.stdout).expect("it is ours");
    groff_is_content(&path);
}

#[track_caller]
fn groff_is_content(page: &Path) {
    let groff = Command::new(tools::program("groff"))
        .args(["-K", "utf8", "-ww", "-man", "-Tutf8", "-z"])
        .arg(page)
        .output()
        .expect("groff can be run");
    let warnings = String::from_utf8_lossy(&groff.stderr);
    assert!(groff.status.success() && warnings.is_empty(), "{warnings}");
}
