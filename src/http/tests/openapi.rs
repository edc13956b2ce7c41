//! `GET /openapi.json`

use std::collections::BTreeSet;

use http::Method;
use serde_json::{Value, json};

use super::site::Site;
use crate::http::request::route::Route;
use crate::http::{Answers, openapi_document};
use crate::registration::item::{Field, Kind, Wire};

#[tokio::test]
async fn describes_itself_without_a_token() {
    let site = Site::new();
    let answer = site
        .get("/openapi.json")
        .without("x-auth-token")
        .answer()
        .await;
    assert_eq!(
        answer.json(),
        openapi_document(Wire::Document, Answers::OfNode)
    );
    assert_eq!(answer.json()["openapi"], "3.1.0");
}

#[test]
fn every_reference_leads_somewhere() {
    fn check(document: &Value, value: &Value) {
        match value {
            Value::Object(object) => {
                if let Some(Value::String(reference)) = object.get("$ref") {
                    let pointer = reference.strip_prefix('#').unwrap();
                    assert!(document.pointer(pointer).is_some(), "{reference}");
                }
                object.values().for_each(|inner| check(document, inner));
            }
            Value::Array(array) => array.iter().for_each(|inner| check(document, inner)),
            _ => {}
        }
    }
    let document = openapi_document(Wire::Document, Answers::OfNode);
    check(&document, &document);
}

/// A fleet's answers have other keys than a node's; both say how to ask for the other.
#[test]
fn the_fleet_has_keys_of_its_own() {
    let described = |answers| {
        let document = openapi_document(Wire::Document, answers);
        let parameters = &document["components"]["parameters"];
        let filters = [
            "filter_node",
            "filter_node_state",
            "filter_flap",
            "filter_contact",
        ];
        let filters = filters.map(|name| parameters.get(name).is_some());
        (filters, parameters["scope"]["schema"]["enum"].clone())
    };
    let (node, fleet) = (described(Answers::OfNode), described(Answers::OfFleet));
    assert_eq!(node, ([false, false, true, true], json!(["node", "fleet"])));
    assert_eq!(fleet, ([true, true, false, true], json!(["fleet"])));
    let document = openapi_document(Wire::Document, Answers::OfFleet);
    for pointer in [
        "/paths/~1v2~1nodes/get",
        "/paths/~1v2~1nodes~1{node}/delete",
        "/components/responses/List/headers/X-Partial",
        "/components/schemas/Registration/properties/superseded_by",
        "/components/schemas/Source/properties/nodes",
    ] {
        assert!(document.pointer(pointer).is_some(), "{pointer}");
    }
    let messages = &document["components"]["responses"]["Unavailable"];
    assert!(messages.to_string().contains("fleet_unreachable"));
}

#[test]
fn methods_are_those_of_the_routes() {
    let document = openapi_document(Wire::Document, Answers::OfNode);
    for (path, item) in document["paths"].as_object().unwrap() {
        let Some(route) = Route::parse(&path.replace(['{', '}'], "")) else {
            continue;
        };
        let described: BTreeSet<_> = ["get", "head", "delete", "post", "options"]
            .into_iter()
            .filter(|method| item.get(method).is_some())
            .map(str::to_uppercase)
            .collect();
        let allowed: BTreeSet<_> = route.allow().split(", ").map(str::to_owned).collect();
        assert_eq!(described, allowed, "{path}");
        let notifies = route.notifies(&Method::POST);
        assert_eq!(
            route.allows(&Method::POST),
            notifies,
            "by itself it means nothing"
        );
    }
}

#[tokio::test]
async fn items_are_as_described() {
    let site = Site::furnished();
    let document = openapi_document(Wire::Document, Answers::OfNode);
    let item = site
        .get("/v2/accounts/acme/registrations")
        .answer()
        .await
        .data()[0]
        .clone();
    for (name, value) in item.as_object().unwrap() {
        let kind =
            document["components"]["schemas"]["Registration"]["properties"][name]["type"].as_str();
        let own = match value {
            Value::String(_) => "string",
            Value::Bool(_) => "boolean",
            Value::Number(number) if number.is_i64() => "integer",
            _ => "number",
        };
        assert_eq!(kind, Some(own), "{name}");
    }
    assert_eq!(Field::ContactPort.kind(Wire::Kazoo43), Kind::Integer);
    assert_eq!(Field::Username.description(), "The SIP user.");
}
