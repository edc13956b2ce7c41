//! The kamailio.cfg of a private registrar.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use super::kamailio::{Builder, Configuration, Received};
use super::tools;

/// Hash tables as Kazoo keeps them, see [`Builder::cache`].
const CACHE: &str = "loadmodule \"htable.so\"
modparam(\"htable\", \"htable\", \"auth_cache=>size=8;\")
modparam(\"htable\", \"htable\", \"realms=>size=8;\")
";

/// Debian's configuration as installed.
const DEBIAN: &str = "/etc/kamailio/kamailio.cfg";

/// The configuration of a registrar that keeps its tables in `database`; what else it has is in `folder`.
pub(super) fn render(lab: &Builder, port: u16, database: &Path, folder: &Path) -> String {
    let socket = &folder.join("rpc.sock");
    let rpc = match lab.configuration {
        Configuration::Snippet(name) => snippet(name, socket),
        Configuration::Own | Configuration::Debian => {
            [json_rpc(lab.datagram.then_some(socket)), HTTP.to_owned()].concat()
        }
    };
    [
        core(lab, port),
        lab.tls.map(|port| tls(port, folder)).unwrap_or_default(),
        // Others bind to it when they are loaded.
        lab.tm.map(tm).unwrap_or_default(),
        modules(lab),
        usrloc(lab, database),
        registrar(lab),
        if lab.cache { CACHE } else { "" }.to_owned(),
        routes(lab),
        rpc,
    ]
    .concat()
}

/// Debian's configuration as installed, but for what would disturb others on this machine, and for the time after
/// which usrloc writes back.
pub(super) fn debian() -> String {
    let file = tools::of_kamailio(DEBIAN);
    let mut cfg = fs::read_to_string(file).expect("Debian's Kamailio is installed");
    for (theirs, ours) in [
        (
            "modparam(\"jsonrpcs\", \"transport\", 7)",
            "modparam(\"jsonrpcs\", \"transport\", 1)",
        ),
        (
            "modparam(\"usrloc\", \"timer_interval\", 60)",
            "modparam(\"usrloc\", \"timer_interval\", 1)",
        ),
    ] {
        assert!(cfg.contains(theirs), "{DEBIAN} has no {theirs}");
        cfg = cfg.replace(theirs, ours);
    }
    cfg
}

/// What we tell operators to put beside it.
pub(super) fn local(database: &Path) -> String {
    let cfg = deployed("kamailio-sqlite.cfg");
    let url = "\"sqlite:///var/lib/kamailio/kamailio.sqlite\"";
    assert!(cfg.contains(url), "it has no {url}");
    cfg.replace(url, &format!("\"sqlite://{}\"", database.display()))
}

/// A file of `deploy/kamailio` with sockets of the lab's; HTTP stays, by which the lab asks.
fn snippet(name: &str, socket: &Path) -> String {
    let cfg = deployed(name);
    let own = "/run/kamailio/kamailio_rpc.sock";
    let (transport, both) = ("\"transport\", 4)", "\"transport\", 5)");
    if !cfg.contains(transport) {
        return cfg;
    }
    assert!(cfg.contains(own), "{name} has no {own}");
    let modparam = format!("\"dgram_socket\", \"{own}\"");
    let ours = format!("\"dgram_socket\", \"{}\"", socket.display());
    let cfg = cfg.replace(transport, both).replace(&modparam, &ours);
    ["loadmodule \"xhttp.so\"\n", &cfg, HTTP].concat()
}

fn deployed(name: &str) -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("deploy/kamailio")
        .join(name);
    fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

fn core(lab: &Builder, port: u16) -> String {
    let mut cfg = format!(
        "#!KAMAILIO
debug=2
log_stderror=yes
fork=yes
children={children}
tcp_children={children}
auto_aliases=no
dns=no
rev_dns=no
use_dns_cache=off
enable_tls={tls}
tcp_accept_no_cl=yes
tcp_connection_lifetime=3605
tcp_max_connections=4096
disable_core_dump=yes
listen=udp:127.0.0.1:{port}
listen=tcp:127.0.0.1:{port}
",
        children = lab.children,
        tls = if lab.tls.is_some() { "yes" } else { "no" },
    );
    if lab.ipv6 {
        let _ = write!(cfg, "listen=udp:[::1]:{port}\nlisten=tcp:[::1]:{port}\n");
    }
    cfg
}

fn tls(port: u16, folder: &Path) -> String {
    let folder = folder.display();
    format!(
        "listen=tls:127.0.0.1:{port}
loadmodule \"tls.so\"
modparam(\"tls\", \"tls_method\", \"TLSv1.2+\")
modparam(\"tls\", \"certificate\", \"{folder}/tls.crt\")
modparam(\"tls\", \"private_key\", \"{folder}/tls.key\")
"
    )
}

fn modules(lab: &Builder) -> String {
    let mut cfg = String::new();
    let database = lab.server.as_ref();
    let database = database.map_or("db_sqlite", |server| server.engine.module());
    for module in [
        database,
        "sl",
        "pv",
        "xlog",
        "textops",
        "siputils",
        "kex",
        "nathelper",
        "usrloc",
        "registrar",
    ] {
        let _ = writeln!(cfg, "loadmodule \"{module}.so\"");
    }
    cfg
}

fn tm(fr_timer: u32) -> String {
    format!("loadmodule \"tm.so\"\nmodparam(\"tm\", \"fr_timer\", {fr_timer})\n")
}

fn json_rpc(datagram: Option<&Path>) -> String {
    let mut cfg = "loadmodule \"xhttp.so\"\nloadmodule \"jsonrpcs.so\"\n".to_owned();
    // The transport is a set of bits: 1 HTTP, 2 FIFO, 4 datagrams. 0 would be all of them, at paths of the system.
    match datagram {
        None => cfg.push_str("modparam(\"jsonrpcs\", \"transport\", 1)\n"),
        Some(socket) => {
            let _ = write!(
                cfg,
                "modparam(\"jsonrpcs\", \"transport\", 5)\nmodparam(\"jsonrpcs\", \"dgram_socket\", \"{}\")\n",
                socket.display()
            );
        }
    }
    cfg
}

fn usrloc(lab: &Builder, database: &Path) -> String {
    let file = || format!("sqlite:///{}", database.display());
    let url = lab
        .server
        .as_ref()
        .map_or_else(file, |server| server.owner_url());
    // No db_set_journal_mode: each process would run that pragma when it starts, and now and then they lock each other
    // out and Kamailio does not start. The mode that the file has already stays.
    format!(
        "modparam(\"usrloc\", \"db_url\", \"{url}\")
server_id={server_id}
modparam(\"usrloc\", \"db_mode\", {mode})
modparam(\"usrloc\", \"expires_type\", {expires_type})
modparam(\"usrloc\", \"use_domain\", {use_domain})
modparam(\"usrloc\", \"timer_interval\", {timer})
modparam(\"usrloc\", \"matching_mode\", {matching})
modparam(\"usrloc\", \"xavp_contact\", \"ulattrs\")
modparam(\"usrloc\", \"nat_bflag\", 1)
modparam(\"usrloc\", \"handle_lost_tcp\", {lost})
modparam(\"nathelper\", \"received_avp\", \"$avp(received)\")
",
        mode = lab.db_mode,
        expires_type = u8::from(lab.server.as_ref().is_some_and(|it| it.has_numbers)),
        use_domain = u8::from(lab.use_domain),
        timer = lab.timer_interval,
        matching = lab.matching_mode,
        lost = u8::from(lab.handle_lost_tcp),
        server_id = lab.server_id,
    )
}

fn registrar(lab: &Builder) -> String {
    let (min, default, max) = lab.expires;
    let outbound = u8::from(lab.outbound);
    format!(
        "modparam(\"registrar\", \"method_filtering\", 1)
modparam(\"registrar\", \"case_sensitive\", {case})
modparam(\"registrar\", \"min_expires\", {min})
modparam(\"registrar\", \"default_expires\", {default})
modparam(\"registrar\", \"max_expires\", {max})
modparam(\"registrar\", \"contact_max_size\", 2048)
modparam(\"registrar\", \"use_path\", {path})
modparam(\"registrar\", \"path_mode\", 0)
modparam(\"registrar\", \"gruu_enabled\", {outbound})
modparam(\"registrar\", \"outbound_mode\", {outbound})
modparam(\"registrar\", \"regid_mode\", {outbound})
modparam(\"registrar\", \"received_avp\", \"$avp(received)\")
",
        case = u8::from(lab.case_sensitive),
        path = u8::from(lab.path),
    )
}

fn routes(lab: &Builder) -> String {
    let received = match lab.received {
        Received::Never => "",
        Received::Always => "\t$avp(received) = $su;\n",
        Received::BehindNat => {
            "\tif (nat_uac_test(\"3\")) {\n\t\tfix_nated_register();\n\t\tsetbflag(1);\n\t}\n"
        }
    };
    let cache = if lab.cache {
        "\t$sht(auth_cache=>$tU@$td) = \"known\";\n\t$sht(realms=>$td) = \"known\";\n"
    } else {
        ""
    };
    let mut others = String::new();
    for table in lab.tables.iter().skip(1) {
        let _ = write!(
            others,
            "\tif ($hdr(X-Table) == \"{table}\") {{\n\t\tif (!save(\"{table}\", \"{save}\")) {{\n\t\t\tsl_reply_error();\n\t\t}}\n\t\texit;\n\t}}\n",
            save = lab.save_flags,
        );
    }
    format!(
        "
request_route {{
	force_rport();
	if (is_method(\"OPTIONS\")) {{
		sl_send_reply(\"200\", \"OK\");
		exit;
	}}
	if (!is_method(\"REGISTER\")) {{
		sl_send_reply(\"405\", \"Method Not Allowed\");
		exit;
	}}
	if ($hdr(X-Token) != $null && $hdr(X-Token) != \"\") {{
		$xavp(ulattrs=>token) = $hdr(X-Token);
		if ($hdr(X-CCV) != $null && $hdr(X-CCV) != \"\") {{
			$xavp(ulattrs[0]=>custom_channel_vars) = $hdr(X-CCV);
		}}
	}} else if ($hdr(X-CCV) != $null && $hdr(X-CCV) != \"\") {{
		$xavp(ulattrs=>custom_channel_vars) = $hdr(X-CCV);
	}}
{cache}{received}{others}	if (!save(\"location\", \"{save}\")) {{
		sl_reply_error();
	}}
	exit;
}}

",
        save = lab.save_flags,
    )
}

/// Who may call JSON-RPC over HTTP.
const HTTP: &str = "
event_route[xhttp:request] {
	if ($si != \"127.0.0.1\" && $si != \"::1\") {
		xhttp_reply(\"403\", \"Forbidden\", \"text/plain\", \"loopback only\\n\");
		exit;
	}
	if ($hu =~ \"^/RPC\") {
		jsonrpc_dispatch();
		exit;
	}
	xhttp_reply(\"404\", \"Not Found\", \"text/plain\", \"nothing here\\n\");
}
";
