//! A server that nobody has named: Kamailio's own configuration does.

use std::fs;
use std::process::Command;

use crate::doctor::first_run::{beside_etc, seeing};
use crate::oracle::{agree, lists};
use crate::servers::{ALL, ZONE, beside, readyz};
use crate::support::kamailio::Kamailio;
use crate::support::phone::Phone;
use crate::support::server::{Engine, PASSWORD, Server};
use crate::support::tools;

/// What names the database in the stock configuration, and in Kazoo's.
const STOCK: &str = "#!ifdef WITH_MYSQL
#!define DBURL \"mysql://kamailio:kamailiorw@localhost/kamailio\"
#!endif
#!trydef DBURL \"URL\"
modparam(\"usrloc\", \"db_url\", DBURL)
modparam(\"usrloc\", \"db_mode\", 1)
";
const KAZOO: &str = "#!substdef \"!KAZOO_DB_URL!URL!g\"
modparam(\"usrloc\", \"db_mode\", 1)
modparam(\"usrloc\", \"db_url\", \"KAZOO_DB_URL\")
";

/// With the login that Kamailio has there usrlocd only reads.
fn follows_the_server_in(cfg: &str, line: &str) {
    let server = Server::start(Engine::Postgres);
    let kamailio = Kamailio::builder().server(&server).db_mode(1).start();
    let mut phone = Phone::new(&kamailio, "alice", "plain.test");
    phone.register();
    let etc = tempfile::TempDir::new().expect("a temporary directory");
    let url = server.owner_url();
    let cfg = cfg
        .replace("URL!g", &format!("{url}!g"))
        .replace("\"URL\"", &format!("\"{url}\""));
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
    assert!(
        said.contains(&format!("kamailio.cfg {line} names it")),
        "{said}"
    );
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

#[test]
fn the_server_in_kamailio_cfg_is_followed() {
    follows_the_server_in(STOCK, "line 5");
}

#[test]
fn the_server_in_kazoo_s_configuration_is_followed() {
    follows_the_server_in(KAZOO, "line 3");
}

/// The URL has a password, and may stand in a file that others cannot read.
#[test]
fn a_file_names_the_server() {
    let server = Server::start(Engine::MariaDb);
    let kamailio = Kamailio::builder()
        .server(&server)
        .db_mode(1)
        .timezone(ZONE)
        .start();
    let mut phone = Phone::new(&kamailio, "alice", "plain.test");
    phone.register();
    let folder = tempfile::TempDir::new().expect("a temporary directory");
    let file = folder.path().join("database");
    fs::write(&file, format!("{}\n", server.url())).expect("it is ours");
    let file = file.display().to_string();
    let mut daemon = beside(&kamailio).prepare();
    let config = fs::read_to_string(daemon.config_file()).expect("it is ours");
    let database = config
        .lines()
        .find(|line| line.starts_with("database"))
        .expect("the line is there");
    let config = config.replace(database, &format!("database_file = {file:?}"));
    fs::write(daemon.config_file(), config).expect("it is ours");
    daemon.start();
    lists(&daemon, ALL, &[phone.contact_uri()]);
    agree(&kamailio, &daemon);
    phone.unregister();
    lists(&daemon, ALL, &[]);
    let config = daemon.command("check-config").output();
    let config = config.expect("it starts");
    for said in [&config.stdout, &config.stderr, daemon.log().as_bytes()] {
        let said = String::from_utf8_lossy(said);
        assert!(!said.contains(PASSWORD), "{said}");
    }
    assert!(config.status.success(), "{config:?}");
}
