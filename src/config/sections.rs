//! Reads the sections: which key fills which field, and how it is parsed.

use super::server::{self, Database};
use super::values::unique;
use super::{AlsoCall, Auth, Bucket, Config, Flush, Http, Jwt, JwtKey, Kamailio, Limits, Log};
use super::{duration, flapping, history, values, webhook};
use crate::document::Reader;

/// Overrides `config` with the values of `root`.
pub(super) fn apply(config: &mut Config, root: &mut Reader<'_>) {
    root.table("kamailio", |table| kamailio(&mut config.kamailio, table));
    root.table("store", |table| {
        table.set("path", &mut config.store.path, values::path);
    });
    root.table("history", |table| {
        history::apply(&mut config.history, table);
        flapping::apply(&mut config.history, table);
    });
    root.table("http", |table| http(&mut config.http, table));
    root.table("auth", |table| auth(&mut config.auth, table));
    root.table("directory", |table| {
        table.set("file", &mut config.directory.file, values::optional_path);
    });
    root.table("flush", |table| flush(&mut config.flush, table));
    root.table("notify", |table| {
        super::notify::apply(&mut config.notify, table);
    });
    root.table("fleet", |table| {
        super::fleet::apply(&mut config.fleet, table);
    });
    root.table("limits", |table| limits(&mut config.limits, table));
    root.table("metrics", |table| {
        table.set(
            "accounts",
            &mut config.metrics.accounts,
            values::metrics_accounts,
        );
    });
    root.table("log", |table| log(&mut config.log, table));
    if let Some(webhooks) = root.tables("webhook", webhook::stanza()) {
        config.webhooks = webhooks;
    }
}

fn kamailio(into: &mut Kamailio, table: &mut Reader<'_>) {
    match table.optional("database", values::database) {
        Some(Database::File(file)) => (into.database, into.server) = (file, None),
        Some(Database::Server(server)) => into.server = Some(server),
        None => {}
    }
    table.set(
        "database_file",
        &mut into.database_file,
        values::optional_path,
    );
    if let Some(tables) = table.list("table", unique(values::table)) {
        into.tables = tables;
    }
    if let Some(addresses) = table.optional("jsonrpc", values::jsonrpcs) {
        if let Some(first) = addresses.values().next() {
            first.clone_into(&mut into.jsonrpc);
        }
        into.jsonrpc_by_id = addresses
            .into_iter()
            .filter_map(|(id, address)| Some((id?, address)))
            .collect();
    }
    table.set("rpc_timeout", &mut into.rpc_timeout, duration::duration);
    table.set("default_realm", &mut into.default_realm, values::realm);
    let advertise = table.pairs("advertise", |name, item| {
        let from = values::host(&name.text).map_err(|message| (name.place.clone(), message))?;
        let to = item
            .text()
            .and_then(values::host)
            .map_err(|message| (item.place.clone(), message))?;
        Ok((from, to))
    });
    if let Some(pairs) = advertise {
        into.advertise = pairs.into_iter().collect();
    }
    table.set("timezone", &mut into.timezone, server::timezone);
    table.set("server_id", &mut into.server_ids, server::ids);
    table.set("max_load", &mut into.max_load, values::share);
    table.set("proxy_path", &mut into.proxy_path, values::proxy_path);
}

fn http(into: &mut Http, table: &mut Reader<'_>) {
    if let Some(listen) = table.list("listen", values::addresses()) {
        into.listen = listen;
    }
    table.set("socket", &mut into.socket, values::socket);
    if let Some(hosts) = table.list("hosts", unique(values::host_name)) {
        into.hosts = hosts;
    }
    table.set("public_url", &mut into.public_url, values::public_url);
    table.set("ui", &mut into.ui, values::flag);
    table.set("wire", &mut into.wire, values::wire);
    table.set("max_lag", &mut into.max_lag, duration::duration);
    if let Some(origins) = table.list("cors_origins", unique(values::origin)) {
        into.cors_origins = origins;
    }
}

fn auth(into: &mut Auth, table: &mut Reader<'_>) {
    table.set("tokens_file", &mut into.tokens_file, values::optional_path);
    table.table("jwt", |table| jwt(&mut into.jwt, table));
}

fn jwt(into: &mut Jwt, table: &mut Reader<'_>) {
    let mut kid = unique(values::word);
    let keys = table.tables("keys", |key| {
        let kid = key.required("kid", &mut kid);
        let pem_file = key.required("pem_file", values::path);
        Some(JwtKey {
            kid: kid?,
            pem_file: pem_file?,
        })
    });
    if let Some(keys) = keys {
        into.keys = keys;
    }
    table.set("issuer", &mut into.issuer, values::word);
}

fn flush(into: &mut Flush, table: &mut Reader<'_>) {
    let also = table.tables("also", |call| {
        let method = call.required("method", values::method);
        let params = call.list("params", values::param);
        Some(AlsoCall {
            method: method?,
            params: params.unwrap_or_default(),
        })
    });
    if let Some(also) = also {
        into.also = also;
    }
    table.set("concurrency", &mut into.concurrency, |item| {
        values::count(item, 256)
    });
}

fn limits(into: &mut Limits, table: &mut Reader<'_>) {
    table.table("requests", |table| bucket(&mut into.requests, table));
    table.table("deletes", |table| bucket(&mut into.deletes, table));
    table.table("failures", |table| bucket(&mut into.failures, table));
    table.set("connections", &mut into.connections, |item| {
        values::count(item, 1_000_000)
    });
    table.set("body_bytes", &mut into.body_bytes, |item| {
        values::count(item, 1 << 30)
    });
    table.set(
        "header_timeout",
        &mut into.header_timeout,
        duration::duration,
    );
    table.set("streams", &mut into.streams, |item| {
        values::count(item, 100_000)
    });
    table.set("streams_per_token", &mut into.streams_per_token, |item| {
        values::count(item, 100_000)
    });
}

fn bucket(into: &mut Bucket, table: &mut Reader<'_>) {
    table.set("burst", &mut into.burst, values::burst);
    table.set("per_second", &mut into.per_second, values::per_second);
    if into.burst == 0 && into.per_second > 0.0 {
        table.report(
            "a burst of 0 allows no requests; use at least 1, or per_second = 0 for no limit",
        );
        into.burst = 1;
    }
}

fn log(into: &mut Log, table: &mut Reader<'_>) {
    table.set("level", &mut into.level, values::level);
    table.set("format", &mut into.format, values::log_format);
}
