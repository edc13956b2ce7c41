//! Lists of many registrations.

use http_body_util::BodyExt;

use super::site::{Site, phone};

const LIST: &str = "/v2/accounts/acme/registrations";
const MANY: u16 = 20_000;

fn site() -> Site {
    let site = Site::new();
    site.add((0..MANY).map(|number| phone("acme", &format!("user{number}"), number % 60_000)));
    site
}

#[tokio::test]
async fn a_large_list_comes_in_pieces_of_bounded_size() {
    let site = site();
    for query in ["", "?pretty_print=true", "?accept=csv", "?filter_cseq=7"] {
        let mut body = site
            .get(&format!("{LIST}{query}"))
            .response()
            .await
            .into_body();
        let (mut pieces, mut whole) = (0, Vec::new());
        while let Some(frame) = body.frame().await {
            let piece = frame.unwrap().into_data().unwrap();
            assert!(piece.len() < 256 << 10, "{query}: {}", piece.len());
            pieces += 1;
            whole.extend_from_slice(&piece);
        }
        assert!(pieces > 50, "{query}");
        if query == "?accept=csv" {
            let rows = csv::Reader::from_reader(&*whole)
                .into_records()
                .map(Result::unwrap)
                .count();
            assert_eq!(rows, usize::from(MANY));
        } else {
            let json: serde_json::Value = serde_json::from_slice(&whole).unwrap();
            assert_eq!(json["data"].as_array().unwrap().len(), usize::from(MANY));
            assert_eq!(json["page_size"], MANY);
        }
    }
}

#[tokio::test]
async fn lists_of_every_size_are_whole() {
    for size in [0, 1, 39, 40, 41, 60, 200, 1023, 1024, 1025, 1100] {
        let site = Site::new();
        site.add((0..size).map(|number| phone("acme", &format!("user{number}"), number)));
        site.add([phone("other", "x", 60_000)]);
        let plain = site.get("/v2/registrations").answer().await;
        let again = site.get("/v2/registrations").answer().await;
        assert_eq!(plain.usernames().len(), usize::from(size) + 1);
        assert_eq!(plain.body, again.body);
        let filtered = site.get("/v2/registrations?filter_cseq=7").answer().await;
        assert_eq!(plain.json(), filtered.json());
    }
}
