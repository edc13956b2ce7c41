//! A server that nobody has named: Kamailio's own configuration does.

use std::fs;
use std::process::Command;

use crate::doctor::first_run::{beside_etc, seeing};
use crate::oracle::lists;
use crate::servers::{ALL, readyz};
use crate::support::kamailio::Kamailio;
use crate::support::phone::Phone;
use crate::support::server::{Engine, Server};
use crate::support::tools;

/// With the login that Kamailio has there usrlocd only reads.
#[test]
fn the_server_in_kamailio_cfg_is_followed() {
    let server = Server::start(Engine::Postgres);
    let kamailio = Kamailio::builder().server(&server).db_mode(1).start();
    let mut phone = Phone::new(&kamailio, "alice", "plain.test");
    phone.register();
    let etc = tempfile::TempDir::new().expect("a temporary directory");
    let url = server.owner_url();
    let cfg = format!(
        "#!ifdef WITH_MYSQL\n#!define DBURL \"mysql://kamailio:kamailiorw@localhost/kamailio\"\n#!endif\n#!trydef DBURL \"{url}\"\nmodparam(\"usrloc\", \"db_url\", DBURL)\nmodparam(\"usrloc\", \"db_mode\", 1)\n"
    );
    fs::write(etc.path().join("kamailio.cfg"), cfg).expect("it is ours");
    let mut daemon = beside_etc(&kamailio, etc.path());
    let wrapper = seeing(etc.path());
    let doctor = Command::new(&wrapper[0])
        .args(&wrapper[1..])
        .arg(tools::usrlocd())
        .args(["doctor", "-o", "json", "--config"])
        .arg(daemon.config_file())
        .output();
    let said = doctor.expect("it starts").stdout;
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(said.contains("kamailio.cfg line 5 names it"), "{said}");
    assert!(said.contains("can be read (PostgreSQL "), "{said}");

    daemon.start_unready();
    readyz(&daemon, 200, "");
    lists(&daemon, ALL, &[phone.contact_uri()]);
    phone.unregister();
    lists(&daemon, ALL, &[]);
    assert!(server.only_reads() > 10, "{}", server.log());
    let log = daemon.log();
    assert!(log.contains("found Kamailio's database server"), "{log}");
    for said in [said, log] {
        assert!(!said.contains("kamailio:owner"), "{said}");
    }
}
