//! The page's files, and what every answer below `/ui/` tells the browser.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use http::{Method, StatusCode};

use super::site::{Answer, Site, settings};
use crate::config;
use crate::http::Settings;

/// As contract and papers have it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
    connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'; \
    require-trusted-types-for 'script'; trusted-types 'none'";

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    paths
        .flat_map(|path| {
            if path.is_dir() {
                files(&path)
            } else {
                vec![path]
            }
        })
        .collect()
}

/// What is below `src/ui`, by its path on the page.
fn sources() -> Vec<(String, Vec<u8>)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/ui");
    let file = |path: PathBuf| {
        let below = path.strip_prefix(&root).unwrap().to_str().unwrap();
        (format!("/ui/{below}"), fs::read(&path).unwrap())
    };
    files(&root).into_iter().map(file).collect()
}

/// Whether a file is sent as it is, perhaps without comments: no line moves, and each is as it was or empty.
fn assert_is_source(path: &str, sent: &str, source: &[u8]) {
    let source = std::str::from_utf8(source).unwrap();
    let lines: Vec<&str> = sent.lines().collect();
    assert_eq!(lines.len(), source.lines().count(), "{path}");
    for (sent, own) in lines.iter().zip(source.lines()) {
        assert!(sent.is_empty() || *sent == own, "{path}: {sent}");
    }
    assert!(lines.iter().any(|line| !line.is_empty()), "{path}");
}

async fn get(site: &Site, path: &str) -> Answer {
    site.get(path).without("x-auth-token").answer().await
}

fn assert_protected(answer: &Answer) {
    for (name, value) in [
        ("content-security-policy", POLICY),
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
    ] {
        let all: Vec<_> = answer.headers.get_all(name).iter().collect();
        assert_eq!(all, [value], "{name}");
    }
}

#[tokio::test]
async fn every_file_is_served() {
    let site = Site::new();
    let (sources, folder) = (sources(), folder(&site).await);
    let version = folder.strip_prefix("/ui/").unwrap();
    assert!(sources.len() >= 3);
    for (path, bytes) in sources {
        let answer = get(&site, &path).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}");
        let text = answer.text().replace(&format!("\"{version}"), "\"/ui/");
        assert_is_source(&path, &text, &bytes);
        let kind = match path.rsplit('.').next().unwrap() {
            "html" => "text/html; charset=utf-8",
            "css" => "text/css; charset=utf-8",
            "js" => "text/javascript; charset=utf-8",
            "svg" => "image/svg+xml",
            other => panic!("{other}"),
        };
        assert_eq!(answer.header("content-type"), Some(kind));
        assert_protected(&answer);
        let head = site.ask(Method::HEAD, &path).answer().await;
        assert_eq!(head.header("etag"), answer.header("etag"));
        assert!(head.body.is_empty());
    }
    assert_eq!(
        get(&site, "/ui/").await.body,
        get(&site, "/ui/index.html").await.body
    );
}

/// The folder that the page's scripts are in.
async fn folder(site: &Site) -> String {
    let page = get(site, "/ui/").await;
    let (before, _) = page.text().split_once("main.js\"").unwrap();
    format!("/ui/{}", before.rsplit_once('"').unwrap().1)
}

#[tokio::test]
async fn what_the_page_names_is_kept_for_good() {
    let site = Site::new();
    let folder = folder(&site).await;
    let version = folder.strip_prefix("/ui/").unwrap();
    assert_eq!(version.len(), 17, "{version}");
    let page = get(&site, "/ui/").await;
    let mut named = BTreeSet::new();
    let begin = format!("\"{version}");
    for name in page.text().split(&begin).skip(1) {
        let path = format!("{version}{}", name.split('"').next().unwrap());
        let answer = get(&site, &format!("/ui/{path}")).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}");
        let kept = answer.header("cache-control").unwrap();
        assert_eq!(kept, "public, max-age=31536000, immutable", "{path}");
        let plain = path.strip_prefix(version).unwrap();
        let plain = get(&site, &format!("/ui/{plain}")).await;
        assert_eq!(answer.body, plain.body);
        assert_eq!(answer.header("content-type"), plain.header("content-type"));
        assert_protected(&answer);
        named.insert(path);
    }
    assert_eq!(named.len() + 1, sources().len(), "all but the page itself");
    for gone in ["", "index.html", "nothing.js"] {
        let answer = get(&site, &format!("{folder}{gone}")).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{gone}");
        assert_eq!(answer.header("cache-control"), Some("no-store"));
    }
    let former = get(&site, "/ui/0123456789abcdef/main.js").await;
    assert_eq!(former.status, StatusCode::NOT_FOUND, "another version");
}

#[tokio::test]
async fn the_page_is_not_kept_and_plain_names_are_asked_about() {
    let site = Site::new();
    let page = get(&site, "/ui/").await;
    assert_eq!(page.header("cache-control"), Some("no-store"));
    assert_eq!(page.header("etag"), None);
    for path in ["/ui/main.js", "/ui/style.css"] {
        let answer = get(&site, path).await;
        assert_eq!(answer.header("cache-control"), Some("no-cache"));
        let etag = answer.header("etag").unwrap();
        let again = site.get(path).header("if-none-match", etag).answer().await;
        assert_eq!(again.status, StatusCode::NOT_MODIFIED);
        assert_eq!(again.header("etag"), Some(etag));
        assert!(again.body.is_empty());
        assert_protected(&again);
        let other = site.get(path).header("if-none-match", "W/\"0\"").answer();
        assert_eq!(other.await.status, StatusCode::OK);
    }
}

#[tokio::test]
async fn files_are_compressed() {
    let site = Site::new();
    let ask = site.get("/ui/").header("accept-encoding", "gzip");
    let answer = ask.answer().await;
    assert_eq!(answer.header("content-encoding"), Some("gzip"));
    assert!(answer.body.len() < get(&site, "/ui/").await.body.len());
    assert_protected(&answer);
}

#[tokio::test]
async fn whatever_the_answer_is_the_browser_is_told_what_it_may_do() {
    let site = Site::new();
    for (ask, status) in [
        (site.get("/ui/nothing.js"), 404),
        (site.get("/ui/../x"), 404),
        (site.get("/ui/%2e%2e/x"), 404),
        (site.get("/ui//"), 404),
        (site.get("/ui"), 307),
        (site.ask(Method::OPTIONS, "/ui/"), 204),
        (site.ask(Method::POST, "/ui/"), 405),
        (site.ask(Method::DELETE, "/ui/main.js"), 405),
        (site.get("/ui/").header("host", "evil.example"), 421),
        (site.ask(Method::POST, "/ui/").header("origin", "null"), 403),
        (
            site.ask(Method::POST, "/ui/session")
                .header("sec-fetch-site", "cross-site"),
            403,
        ),
    ] {
        let answer = ask.answer().await;
        assert_eq!(answer.status.as_u16(), status, "{}", answer.show());
        assert_protected(&answer);
        if matches!(status, 404 | 405) {
            let kind = answer.header("content-type");
            assert_eq!(kind, Some("text/plain; charset=utf-8"));
        }
        if matches!(status, 204 | 405) {
            assert_eq!(answer.header("allow"), Some("GET, HEAD, OPTIONS"));
        }
    }
    let api = site.get("/v2/registrations").answer().await;
    assert_eq!(api.header("content-security-policy"), None);
}

#[tokio::test]
async fn a_browser_finds_the_page_at_the_root() {
    let site = Site::new();
    let html = "text/html,application/xhtml+xml,*/*;q=0.8";
    let answer = site.get("/").header("accept", html).answer().await;
    assert_eq!(answer.status, StatusCode::TEMPORARY_REDIRECT);
    assert_eq!(answer.header("location"), Some("/ui/"));
    assert_eq!(answer.header("vary"), Some("accept"));
    let posted = site.ask(Method::POST, "/").header("accept", html);
    assert_eq!(posted.answer().await.status, StatusCode::NOT_FOUND);
    for accept in ["*/*", "application/json", "text/html;q=0"] {
        let answer = site.get("/").header("accept", accept).answer().await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{accept}");
        assert_eq!(answer.json()["message"], "not_found");
    }
}

#[tokio::test]
async fn a_browser_finds_the_page_below_a_proxys_path() {
    let settings = Settings {
        below_path: true,
        ..settings()
    };
    let site = Site::with(settings, &config::Limits::default());
    for path in ["/", "/ui"] {
        let answer = site.get(path).header("accept", "text/html").answer().await;
        assert_eq!(answer.header("location"), Some("ui/"), "{path}");
    }
}

#[tokio::test]
async fn there_may_be_no_page() {
    let settings = Settings {
        ui: false,
        ..settings()
    };
    let site = Site::with(settings, &config::Limits::default());
    for path in ["/", "/ui", "/ui/", "/ui/main.js", "/ui/session"] {
        let answer = site.get(path).header("accept", "text/html").answer().await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}");
        assert_eq!(answer.json()["message"], "not_found");
    }
}

#[tokio::test]
async fn those_who_take_too_many_files_wait() {
    let limits = config::Limits {
        requests: config::Bucket {
            burst: 2,
            per_second: 1.0,
        },
        ..config::Limits::default()
    };
    let site = Site::with(settings(), &limits);
    for status in [200, 200, 429] {
        let answer = get(&site, "/ui/").await;
        assert_eq!(answer.status.as_u16(), status);
        assert_protected(&answer);
    }
}
