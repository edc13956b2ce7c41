//! An edge proxy: a Kamailio between the phones and the registrar, which notes where a REGISTER came from.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use super::phone::ping;
use super::process::Process;
use super::{eventually, ports, tools};

/// The time within which a proxy has started on a busy machine.
const START: Duration = Duration::from_secs(30);

/// How a proxy notes the source of a REGISTER.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Note {
    /// In its Path, as a URI.
    Path,
    /// In its Path, as `address~port~protocol`.
    CompactPath,
    /// In the contact, as an alias; no Path.
    Alias,
    /// Not at all, but it puts its Path.
    Nothing,
}

/// A proxy; it ends with this value, and so do its files.
#[derive(Debug)]
pub(crate) struct Edge {
    _process: Process,
    _folder: TempDir,
    port: u16,
}

impl Edge {
    /// A proxy that sends REGISTERs on to `next` over UDP.
    ///
    /// # Panics
    ///
    /// With the end of its log, when it does not get ready.
    pub(crate) fn start(next: SocketAddr, note: Note) -> Self {
        let folder = TempDir::with_prefix("usrlocd-edge-").expect("a temporary directory");
        let port = ports::free();
        let file = folder.path().join("kamailio.cfg");
        fs::write(&file, cfg(port, next, note)).expect("an own directory is writable");
        let mut command = Command::new(tools::program("kamailio"));
        command.args(["-DD", "-E", "-m", "32", "-M", "4", "-Y"]);
        command.arg(folder.path()).arg("-f").arg(&file);
        let mut process = Process::spawn(&mut command, &folder.path().join("kamailio.log"));
        let address = (Ipv4Addr::LOCALHOST, port).into();
        eventually("the edge proxy starts", START, || {
            if let Some(status) = process.ended() {
                panic!("Kamailio ended with {status}:\n{}", process.log_tail());
            }
            ping(address)
                .then_some(())
                .ok_or_else(|| process.log_tail())
        });
        Self {
            _process: process,
            _folder: folder,
            port,
        }
    }

    /// Where phones find it.
    pub(crate) fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }
}

fn cfg(port: u16, next: SocketAddr, note: Note) -> String {
    let noting = match note {
        Note::Path | Note::CompactPath => "add_path_received();",
        Note::Alias => "add_contact_alias();",
        Note::Nothing => "add_path();",
    };
    // As a proxy does with requests to the phones behind it.
    let relaying = match note {
        Note::Path | Note::CompactPath | Note::Nothing => "loose_route();",
        Note::Alias => "handle_ruri_alias();",
    };
    let format = u8::from(note == Note::CompactPath);
    format!(
        "#!KAMAILIO
debug=2
log_stderror=yes
fork=yes
children=1
tcp_children=1
auto_aliases=no
dns=no
rev_dns=no
use_dns_cache=off
disable_tls=yes
disable_core_dump=yes
listen=udp:127.0.0.1:{port}
listen=tcp:127.0.0.1:{port}
loadmodule \"sl.so\"
loadmodule \"pv.so\"
loadmodule \"siputils.so\"
loadmodule \"textops.so\"
loadmodule \"rr.so\"
loadmodule \"path.so\"
loadmodule \"nathelper.so\"
modparam(\"path\", \"received_format\", {format})
modparam(\"path\", \"use_received\", 1)
request_route {{
	force_rport();
	if (is_method(\"NOTIFY\")) {{
		{relaying}
		forward();
		exit;
	}}
	if (!is_method(\"REGISTER\")) {{
		sl_send_reply(\"200\", \"OK\");
		exit;
	}}
	{noting}
	$du = \"sip:{next}\";
	forward();
	exit;
}}
"
    )
}
