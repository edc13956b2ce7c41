use super::*;

#[test]
fn all_mistakes_are_reported_at_once() {
    let text = r#"
[kamailio]
database = "kamailio.sqlite"
tabel = "location"
rpc_timeout = 2
default_realm = "a b"
proxy_path = "sip:{ip}:{prt}"
jsonrpc = "https://127.0.0.1/RPC"
advertise = { "10.0.0.5" = 5, "10.0.0.5:5060" = "10.0.0.6" }
[htpp]
listen = []
[http]
listen = ["8000", "127.0.0.1:8000", "127.0.0.1:8000"]
level = "debug"
wire = kazoo
max_lag = "0s"
cors_origins = ["https://panel.example.com/", "panel"]
max_lag = "1s"
[auth.jwt]
keys = [{ kid = "a" }, { kid = "a", pem_file = "/a.pem", alg = "RS256" }]
[flush]
also = [{ method = "ul.flush" }, { method = "htable.delete", params = ["{user}", 5.5] }]
concurrency = 0
[limits]
requests = { burst = 0, per_second = 1 }
deletes = { burst = -1, per_second = nan }
connections = "many"
body_bytes = 99999999999999999999
[log]
level = "inof"
format = "syslog"
"#;
    insta::assert_snapshot!(problems(text), @r#"
    f:3:12: "kamailio.sqlite" is relative; write the whole path, starting with /
    f:4:1: unknown key `tabel`; did you mean `table`?
    f:5:15: the unit is missing; write for instance "2s"
    f:6:17: the realm "a b" contains a space; remove it
    f:7:14: nothing fills {prt}; placeholders are {ip}, {port}, {proto}
    f:8:11: https is not supported: calls go over plain HTTP, on loopback; write for instance "http://127.0.0.1:5060/RPC" or "unixgram:/run/kamailio/kamailio_rpc.sock"
    f:9:28: expected a string in quotes, found an integer
    f:9:31: "10.0.0.5:5060" is not an address; write an IP address without a port, for instance "203.0.113.5"
    f:10:2: unknown section [htpp]; did you mean [http]?
    f:13:11: "8000" is not an address with a port; write for instance "127.0.0.1:8000"
    f:13:37: "127.0.0.1:8000" is listed twice; remove one
    f:14:1: unknown key `level`; did you mean `level` in [log]?
    f:15:8: not valid TOML: text stands in double quotes
    f:16:11: the duration must be more than zero
    f:17:17: "https://panel.example.com/" ends with a slash, which no browser sends; remove it
    f:17:47: "panel" is not an origin; write "*" or for instance "https://panel.example.com"
    f:18:1: not valid TOML: the key is set twice; remove one
    f:20:9: `pem_file` is missing
    f:20:32: "a" is listed twice; remove one
    f:20:58: unknown key `alg`; known here: kid, pem_file
    f:22:20: ul.flush writes Kamailio's memory to its database and removes nothing; leave it out
    f:22:72: nothing fills {user}; placeholders are {aor}, {username}, {realm}
    f:22:82: expected a string or an integer, found a number with a fraction
    f:23:15: 0 is out of range; use 1 to 256
    f:25:1: a burst of 0 allows no requests; use at least 1, or per_second = 0 for no limit
    f:26:21: -1 is out of range; use 0 to 4294967295
    f:26:38: NaN is out of range; use 0 (no limit) to 1000000000
    f:27:15: expected a whole number, found a string
    f:28:14: the number is too large; use a smaller one
    f:30:9: "inof" is not a log level; did you mean "info"?
    f:31:10: "syslog" is not one of "auto", "text", "json", "journald"
    "#);
}

#[test]
fn single_values_are_refused_with_a_hint() {
    let wrong = [
        ("kamailio", "database = \"\""),
        ("kamailio", "database = \"/var/lib/kamailio/\""),
        ("kamailio", "table = []"),
        ("kamailio", "table = \"a b\""),
        ("kamailio", "table = [\"a\", \"a\"]"),
        ("kamailio", "jsonrpc = \"127.0.0.1:5060\""),
        ("kamailio", "jsonrpc = \"http://127.0.0.1:99999/RPC\""),
        ("kamailio", "jsonrpc = \"http://root:secret@127.0.0.1/RPC\""),
        ("kamailio", "jsonrpc = \"unixgram:run/k.sock\""),
        ("kamailio", "rpc_timeout = \"2 s\""),
        ("kamailio", "rpc_timeout = \"2d\""),
        ("kamailio", "rpc_timeout = \"25h\""),
        ("kamailio", "proxy_path = \"sip:{ip\""),
        ("kamailio", "proxy_path = \"sip:}ip\""),
        ("store", "path = \"/var/lib/kamailio/kamailio.sqlite-wal\""),
        ("http", "listen = [\"localhost:8000\"]"),
        ("http", "listen = [\"::1\"]"),
        ("http", "listen = 8000"),
        ("http", "listen = []\nsocket = \"\""),
        ("http", "socket = \"/var/lib/usrlocd/usrlocd.db\""),
        ("http", "hosts = [\"https://sip.example.com\"]"),
        ("http", "hosts = [\"*.example.com\"]"),
        ("http", "hosts = [\"sip.example.com:8000\"]"),
        ("http", "hosts = [\"192.0.2.1\"]"),
        ("http", "hosts = [\"a b\"]"),
        ("http", "hosts = [\"\"]"),
        ("http", "hosts = [\"a.test\", \"A.Test.\"]"),
        ("http", "public_url = \"sip.example.com\""),
        ("http", "public_url = \"ftp://sip.example.com\""),
        ("http", "public_url = \"https://u:s3cr3t@sip.example.com\""),
        ("http", "public_url = \"https://sip.example.com/?x=1\""),
        ("http", "public_url = \"https://sip.example.com:99999\""),
        ("http", "public_url = \"https://sip..example.com\""),
        (
            "auth",
            "tokens_file = \"/var/lib/kamailio/kamailio.sqlite\"",
        ),
        ("auth.jwt", "issuer = \"\""),
        ("limits", "requests = 5"),
        ("metrics", "accounts = 1001"),
        ("log", "level = \"=debug\""),
        ("nonsense", "x = 1"),
    ];
    let all: Vec<_> = wrong
        .iter()
        .map(|(section, line)| problems(&format!("[{section}]\n{line}\n")))
        .collect();
    insta::assert_snapshot!(all.join("\n"), @r#"
    f:2:12: the path is empty; remove the line for the default
    f:2:12: "/var/lib/kamailio/" is a directory; name a file in it
    f:2:9: no table is given; name at least one, for instance "location"
    f:2:9: "a b" is not a table name; letters, digits and _ make one, for instance "location"
    f:2:15: "a" is listed twice; remove one
    f:2:11: "127.0.0.1:5060" is not the address of a JSON-RPC server; write for instance "http://127.0.0.1:5060/RPC" or "unixgram:/run/kamailio/kamailio_rpc.sock"
    f:2:11: "http://127.0.0.1:99999/RPC" has a bad port; write for instance "http://127.0.0.1:5060/RPC" or "unixgram:/run/kamailio/kamailio_rpc.sock"
    f:2:11: a user name in the URL is not supported; write for instance "http://127.0.0.1:5060/RPC" or "unixgram:/run/kamailio/kamailio_rpc.sock"
    f:2:11: "run/k.sock" is relative; write the whole path, starting with /
    f:2:15: "2 s" is not a duration; write for instance "2s", "500ms" or "1m"
    f:2:15: "2d" is longer than a day; use at most "24h"
    f:2:15: "25h" is longer than a day; use at most "24h"
    f:2:14: unmatched brace; placeholders are {ip}, {port}, {proto}
    f:2:14: unmatched brace; placeholders are {ip}, {port}, {proto}
    f:2:8: /var/lib/kamailio/kamailio.sqlite-wal belongs to Kamailio's database, which is never written; choose another path
    f:2:11: "localhost:8000" is not an address with a port; write for instance "127.0.0.1:8000"
    f:2:11: "::1" is not an address with a port; write for instance "[::1]:8000"
    f:2:10: expected an array in square brackets, found an integer
    f:2:10: nothing to listen on; set `listen` or `socket` in [http]
    f:2:10: the socket has the same path as the store; choose another path
    f:2:10: "https://sip.example.com" is a URL; write the name alone, for instance "sip.example.com"
    f:2:10: "*.example.com" is a pattern, and each name must be listed; write the name alone, for instance "sip.example.com"
    f:2:10: "sip.example.com:8000" has a port, and any port will do; write the name alone, for instance "sip.example.com"
    f:2:10: "192.0.2.1" is an address, and addresses are always allowed; remove it
    f:2:10: "a b" is not a host name; write the name alone, for instance "sip.example.com"
    f:2:10: "" is not a host name; write the name alone, for instance "sip.example.com"
    f:2:20: "a.test" is listed twice; remove one
    f:2:14: "sip.example.com" is not an http or https URL; write for instance "https://sip.example.com"
    f:2:14: "ftp://sip.example.com" is not an http or https URL; write for instance "https://sip.example.com"
    f:2:14: "https://…" has a user name in it; write for instance "https://sip.example.com"
    f:2:14: "https://…" has more than a path in it; write for instance "https://sip.example.com"
    f:2:14: "https://sip.example.com:99999" has a bad port; write for instance "https://sip.example.com"
    f:2:14: "https://sip..example.com" has a bad host name; write for instance "https://sip.example.com"
    f:2:15: /var/lib/kamailio/kamailio.sqlite belongs to Kamailio's database, which is never written; choose another path
    f:2:10: "" is empty or contains a space; write one word
    f:2:12: expected a table, found an integer
    f:2:12: use a whole number from 0 to 1000
    f:2:9: "=debug" has a bad target; write for instance "usrlocd::http=debug"
    f:1:2: unknown section [nonsense]; known here: kamailio, store, history, http, auth, directory, flush, notify, fleet, limits, metrics, log, webhook
    "#);
}

#[test]
fn a_long_socket_path_is_refused() {
    let text = format!("[http]\nsocket = \"/{}\"", "x".repeat(107));
    assert!(problems(&text).contains("at most 107 bytes"));
}

#[test]
fn columns_count_characters_and_lines_end_either_way() {
    let text = "[http]\r\nwire = \"ä\"\r\n\r\n\"ä\" = 1\r\nmax_lag = [\"ä\", 1]\r\n";
    insta::assert_snapshot!(problems(text), @r#"
    f:2:8: "ä" is not one of "document", "kazoo-4.3"
    f:4:1: unknown key `ä`; known here: listen, socket, hosts, public_url, ui, wire, max_lag, cors_origins
    f:5:11: expected a string in quotes, found an array
    "#);
}

#[test]
fn mistakes_outside_the_file_name_their_variable_or_flag() {
    let env = [
        ("USRLOCD_HTTP__LISTEN", "localhost"),
        ("USRLOCD_HTTP_WIRE", "document"),
        ("USRLOCD_AUTH_JWT_ISUER", "x"),
        ("USRLOCD_LIMITS__REQUESTS", "5"),
        ("USRLOCD_LIMITS__REQUESTS__BURTS", "5"),
        ("USRLOCD_LOGS__LEVEL", "info"),
        ("USRLOCD_FLUSH__CONCURRENCY", "many"),
        ("USRLOCD_HTTP", "x"),
    ];
    let text = "[http]\nwire = 1\n";
    let problems = lay(text, &env, &[("log.level", "loud")]).unwrap_err();
    insta::assert_snapshot!(problems.to_string(), @r#"
    f:2:8: expected a string in quotes, found an integer
    USRLOCD_HTTP_WIRE: section and key are separated by two underscores; did you mean `USRLOCD_HTTP__WIRE`?
    USRLOCD_AUTH_JWT_ISUER: section and key are separated by two underscores; did you mean `USRLOCD_AUTH__JWT__ISSUER`?
    USRLOCD_FLUSH__CONCURRENCY: expected a whole number, found a string
    USRLOCD_HTTP__LISTEN: "localhost" is not an address with a port; write for instance "127.0.0.1:8000"
    USRLOCD_LIMITS__REQUESTS: expected a table, found an integer
    USRLOCD_LIMITS__REQUESTS__BURTS: unknown key `burts`; did you mean `burst`?
    USRLOCD_LOGS__LEVEL: unknown section [logs]; did you mean [log]?
    --level: "loud" is not a log level; use one of error, warn, info, debug, trace, off
    "#);
}

#[test]
fn thresholds_of_flapping_must_go_together() {
    let text = r#"
[history.flap]
half_life = "0s"
loss = -1
ceiling = 100
on = 200
off = 200
[history.burst]
losses = 1
share = 1.5
within = 60
"#;
    insta::assert_snapshot!(problems(text), @r#"
    f:3:13: the duration must be more than zero
    f:4:8: -1 is out of range; use 0 to 1000000
    f:6:6: no phone would ever flap; make `on` at most `ceiling`
    f:7:7: `off` must be less than `on`
    f:9:10: 1 is out of range; use 2 to 1000000
    f:10:9: 1.5 is not a share; use more than 0 and at most 1, for instance 0.2
    f:11:10: the unit is missing; write for instance "60s"
    "#);
}

#[test]
fn several_kamailios_have_ids_and_addresses_of_their_own() {
    for (table, why) in [
        (
            r#"{ 1 = "http://10.0.0.1/RPC", 2 = "http://10.0.0.1/RPC" }"#,
            r#""http://10.0.0.1/RPC" stands there twice; each Kamailio has an address of its own"#,
        ),
        (r#"{ a = "http://10.0.0.1/RPC" }"#, "is not a server_id"),
        ("{}", "the table names no Kamailio"),
    ] {
        let told = problems(&format!(
            "[kamailio]\ndatabase = \"postgres://u@h/d\"\njsonrpc = {table}\n"
        ));
        assert!(told.contains(why), "{told}");
    }
}
