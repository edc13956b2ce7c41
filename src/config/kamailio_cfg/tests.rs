use super::*;

fn read(text: &str, defined: &[&str]) -> KamailioCfg {
    let folder = tempfile::TempDir::new().unwrap();
    let file = folder.path().join("kamailio.cfg");
    fs::write(&file, text).unwrap();
    let more = "modparam(\"usrloc\", \"timer_interval\", 7)\n";
    fs::write(folder.path().join("more.cfg"), more).unwrap();
    let defined: Vec<String> = defined.iter().map(ToString::to_string).collect();
    KamailioCfg::read(&file, &defined).unwrap()
}

const CFG: &str = r#"#!KAMAILIO
#!define MULTIDOMAIN 1
#!trydef MULTIDOMAIN 0
# modparam("usrloc", "db_mode", 9)
/* modparam("usrloc", "db_mode", 9)
modparam("usrloc", "db_mode", 9)
*/
#!ifdef WITH_USRLOCDB
modparam("usrloc", "db_mode", 2)
#!else
modparam("usrloc", "db_mode", 0)
#!endif
modparam("usrloc|registrar", "use_domain", MULTIDOMAIN)
modparam("registrar", "db_ops_ruid", 0)
import_file "more.cfg"
include_file "absent.cfg"
"#;

#[test]
fn conditions_words_and_included_files() {
    let number = |cfg: &KamailioCfg, name: &str| cfg.usrloc(name)?.number();
    let plain = read(CFG, &[]);
    assert_eq!(number(&plain, "db_mode"), Some(0));
    let with = read(CFG, &["WITH_USRLOCDB"]);
    assert_eq!(number(&with, "db_mode"), Some(2));
    assert!(
        with.usrloc("db_mode")
            .unwrap()
            .to_string()
            .ends_with("kamailio.cfg line 9")
    );
    assert_eq!(number(&with, "use_domain"), Some(1));
    assert_eq!(number(&with, "timer_interval"), Some(7));
    assert_eq!(with.usrloc("db_ops_ruid"), None);
    assert!(KamailioCfg::read(Path::new("/nonexistent"), &[]).is_err());
}

#[test]
fn where_rows_are_kept_is_told_without_a_password() {
    let keeps = |line: &str| read(line, &[]).keeps();
    let file = |path: &str| Keeps::File(path.into());
    let url = |url: &str| format!("modparam(\"usrloc\", \"db_url\", \"{url}\")\n");
    assert_eq!(keeps(&url("sqlite:///var/k.db")), file("/var/k.db"));
    assert_eq!(keeps(&url("sqlite:////var/k.db")), file("/var/k.db"));
    let defined = format!(
        "#!define DBURL \"sqlite:///k\"\n{}",
        url("x").replace("\"x\"", "DBURL")
    );
    assert_eq!(keeps(&defined), file("/k"));
    assert_eq!(
        keeps(&url("postgres://u:secret@h/d")),
        Keeps::Elsewhere("postgres".to_owned())
    );
    assert_eq!(keeps(""), Keeps::Elsewhere("mysql".to_owned()));
    let kazoo = "#!substdef \"!KAZOO_DB_URL!postgres://u:s@cret@db.example.com:5433/kamailio!g\"\nmodparam(\"usrloc\", \"db_url\", \"KAZOO_DB_URL\")";
    for (cfg, server) in [
        (&*url("postgres://u:secret@h/d"), Some("h/d")),
        (kazoo, Some("db.example.com:5433/kamailio")),
        (&*url("mysql://h/d"), Some("h/d")),
        (&*url("mysql://u:secret@h"), None),
        (&*url("sqlite:///var/k.db"), None),
    ] {
        assert_eq!(read(cfg, &[]).server(), server, "{cfg}");
    }
}

#[test]
fn a_login_is_what_usrloc_logs_in_with() {
    let login = |mode: &str, url: &str| {
        let lines = format!(
            "#!substdef \"!KAZOO_DB_URL!{url}!g\"\nmodparam(\"usrloc\", \"db_mode\", {mode})\nmodparam(\"usrloc\", \"db_url\", \"KAZOO_DB_URL\")\n"
        );
        let cfg = read(&lines, &[]);
        cfg.login().map(|(url, at)| format!("{url} {}", at.line))
    };
    for (url, expected) in [
        (
            "postgres://u:pw@h:5433/d",
            Some("postgres://u:pw@h:5433/d 3"),
        ),
        ("mysql://u:p@:#w@h/d", Some("mysql://u:p%40%3A%23w@h/d 3")),
        ("mysql://h/d", None),
        ("mysql://u:pw@/d", None),
        ("mysql://u:pw@unix:/run/d.sock/d", None),
        ("sqlite:///k.db", None),
    ] {
        assert_eq!(login("2", url).as_deref(), expected, "{url}");
        assert_eq!(login("0", url), None, "{url}");
    }
}

#[test]
fn words_of_substdef_stand_inside_of_texts() {
    let kazoo = r#"
#!substdef "!KAZOO_DB_URL!sqlite:////etc/kazoo/kamailio/db/kazoo.db!g"
#!substdef "|FOLDER|/srv|g"
modparam("usrloc", "db_url", "KAZOO_DB_URL")
#!ifexp KAMAILIO_VERSION >= 5008000
modparam("usrloc", "db_mode", 2)
#!else
modparam("usrloc", "db_mode", 0)
#!endif
modparam("usrloc", "timer_interval", 5)
"#;
    let cfg = read(kazoo, &[]);
    let file = Keeps::File("/etc/kazoo/kamailio/db/kazoo.db".into());
    assert_eq!(cfg.keeps(), file);
    assert_eq!(cfg.usrloc("db_mode").unwrap().number(), Some(2));
    assert_eq!(cfg.usrloc("timer_interval").unwrap().number(), Some(5));
    let inside = kazoo.replace("\"KAZOO_DB_URL\"", "\"sqlite:///FOLDER/k.db\"");
    assert_eq!(read(&inside, &[]).keeps(), Keeps::File("/srv/k.db".into()));
}

/// As Kamailio 6.0.1 was seen to take them: a name that is spelled otherwise has no effect, and no error.
#[test]
fn a_busy_timeout_counts_for_the_database_as_its_url_spells_it() {
    let cfg = |url: &str, value: &str| {
        let lines = format!(
            "modparam(\"usrloc\", \"db_url\", \"{url}\")\nmodparam(\"db_sqlite\", \"db_set_busy_timeout\", \"{value}\")\n"
        );
        read(&lines, &[])
    };
    for (url, value) in [
        ("sqlite:////srv/k.db", "/srv/k.db=2000"),
        ("sqlite:///srv/k.db", "srv/k.db=2000"),
        ("sqlite:///srv/k.db", "srv/k.db=2000;"),
    ] {
        let cfg = cfg(url, value);
        assert!(
            matches!(cfg.busy_timeout(), BusyTimeout::Set(2000, _)),
            "{url} {value}"
        );
    }
    for (url, value) in [
        ("sqlite:///srv/k.db", "/srv/k.db=2000"),
        ("sqlite:////srv/k.db", "srv/k.db=2000"),
        ("sqlite:////srv/k.db", "/srv/other.db=2000"),
    ] {
        let cfg = cfg(url, value);
        assert!(
            matches!(cfg.busy_timeout(), BusyTimeout::ForAnother(_)),
            "{url} {value}"
        );
    }
    let none = cfg("sqlite:////srv/k.db", "/srv/k.db=0");
    assert_eq!(none.busy_timeout(), BusyTimeout::Unset);
    assert_eq!(read("", &[]).busy_timeout(), BusyTimeout::Unset);
}

/// All are taken by `kamailio -c` of 5.6.
#[test]
fn every_way_to_write_a_parameter() {
    for text in [
        "modparam('usrloc', 'db_mode', 3)",
        "modparam(\"usrloc\",\n  \"db_mode\",\n  3)",
        "modparam ( \"usrloc\" , # the module\n \"db_mode\" /* how */, 3 ) // it writes",
        "modparam(\"registrar\", \"realm_prefix\", \"a)\") modparam(\"usrloc\", \"db_mode\", 3);",
        "log_prefix=\"# // /* \" modparam(\"usrloc\", \"db_mode\", 3)",
        "/* a /* b */\nmodparam(\"usrloc\", \"db_mode\", 0) */ modparam(\"usrloc\", \"db_mode\", 3)",
        "modparam(\"usrloc\", \"db_mode\", 0x3)",
        "modparam(\"usrloc\", \"db_mode\", 11b)",
        "modparam(\"USRLOC\", \"db_mode\", 3)",
        "modparam(\"usr.*\", \"db_mode\", 3)",
        "modparam(\"(usrloc|registrar)\", \"db_mode\", 3)",
        "#!define MODE 3 // three\nmodparam(\"usrloc\", \"db_mode\", MODE\n)",
        "!!define MODE 3\nmodparam(\"usrloc\", \"db_mode\", MODE)",
        "#!define ALL modparam(\"usrloc\", \"db_mode\", \\\n 3)\nALL",
        "#!ifdef X # of what\ndon't /*\n#!endif\nmodparam(\"usrloc\", \"db_mode\", 3)",
        "children=2 #!define MODE 3\nmodparam(\"usrloc\", \"db_mode\", MODE)",
    ] {
        let cfg = read(text, &[]);
        let mode = cfg.usrloc("db_mode").and_then(Setting::number);
        assert_eq!(mode, Some(3), "{text}");
    }
    for text in [
        "# modparam('usrloc', 'db_mode', 3)",
        "children=2 // modparam('usrloc', 'db_mode', 3)",
        "log_prefix=\"modparam('usrloc', 'db_mode', 3)\"",
        "#!ifdef X\nmodparam('usrloc', 'db_mode', 3)\n#!endif",
        "modparam(\"usrloc2\", \"db_mode\", 3)",
    ] {
        assert_eq!(read(text, &[]).usrloc("db_mode"), None, "{text}");
    }
    let place = read("\n\nmodparam('usrloc',\n\n'db_mode',3)", &[]).place("db_mode");
    assert!(place.ends_with("line 3"), "{place}");
    let yes = read("modparam(\"usrloc\", \"use_domain\", yes)", &[]);
    assert_eq!(yes.usrloc("use_domain").unwrap().number(), Some(1));
    let url = "#!substdefs \"!DBU!sqlite:////srv/k.db!g\"\nmodparam('usrloc', 'db_url', DBU)";
    assert_eq!(read(url, &[]).keeps(), Keeps::File("/srv/k.db".into()));
}
