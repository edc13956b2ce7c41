//! The flags that choose and override the configuration.

use std::path::{Path, PathBuf};

use clap::{Args, ValueHint};

use crate::config::{Config, Loaded, Override, Problems, environment, is_file_name};

/// The file.
#[derive(Clone, Debug, Default, Args)]
pub(super) struct ConfigurationFile {
    /// The configuration file [default: /etc/usrlocd/usrlocd.toml, which may be absent]
    #[arg(
        short,
        long,
        value_name = "FILE",
        env = "USRLOCD_CONFIG",
        hide_env_values = true
    )]
    pub(super) config: Option<PathBuf>,
}

/// The file, and keys that a flag overrides.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Configuration")]
pub(super) struct Configuration {
    #[command(flatten)]
    file: ConfigurationFile,

    #[arg(
        help = "Kamailio's SQLite file, or the URL of its database server ([kamailio] database)",
        long,
        value_name = "FILE",
        value_hint = ValueHint::FilePath
    )]
    database: Option<String>,

    #[arg(
        long,
        help = "Kamailio's JSON-RPC, for instance http://127.0.0.1:5060/RPC ([kamailio] jsonrpc)",
        value_name = "URL"
    )]
    jsonrpc: Option<String>,

    #[arg(help = "usrlocd's own database ([store] path)", long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    store: Option<String>,

    #[arg(
        help = "Listen on this TCP address; may be given several times ([http] listen)",
        long,
        value_name = "ADDRESS:PORT"
    )]
    listen: Vec<String>,

    #[arg(
        help = "Listen on this Unix socket; \"\" for none ([http] socket)",
        long,
        value_name = "FILE"
    )]
    socket: Option<String>,

    #[arg(
        long,
        help = "The tokens of the API ([auth] tokens_file)",
        value_name = "FILE"
    )]
    tokens_file: Option<String>,

    #[arg(
        help = "error, warn, info, debug, trace or off ([log] level)",
        long,
        value_name = "LEVEL"
    )]
    log_level: Option<String>,

    #[arg(
        help = "auto, text, json or journald ([log] format)",
        long,
        value_name = "FORMAT"
    )]
    log_format: Option<String>,
}

impl Configuration {
    /// The effective configuration with the places of its values.
    pub(super) fn load(&self) -> Result<Loaded, Problems> {
        let mut loaded = Loaded::load(
            self.file.config.as_deref(),
            environment(),
            &self.overrides(),
        )?;
        loaded.config.kamailio.look_for_server(Path::new("/"));
        Ok(loaded)
    }

    /// The configuration that results if it is read again now.
    pub(super) fn reload(&self) -> Result<Config, Problems> {
        Config::load(
            self.file.config.as_deref(),
            environment(),
            &self.overrides(),
        )
    }

    /// The configuration in `file`, without flags.
    pub(super) fn of(file: Option<PathBuf>) -> Self {
        Self {
            file: ConfigurationFile { config: file },
            ..Self::default()
        }
    }

    fn overrides(&self) -> Vec<Override> {
        let listen = (!self.listen.is_empty()).then(|| self.listen.join(","));
        let file = |path: &Option<String>| {
            let path = path.as_deref()?;
            Some(if is_file_name(path) {
                absolute(path)
            } else {
                path.to_owned()
            })
        };
        let flags = [
            ("kamailio.database", "--database", file(&self.database)),
            ("kamailio.jsonrpc", "--jsonrpc", self.jsonrpc.clone()),
            ("store.path", "--store", file(&self.store)),
            ("http.listen", "--listen", listen),
            ("http.socket", "--socket", file(&self.socket)),
            ("auth.tokens_file", "--tokens-file", file(&self.tokens_file)),
            ("log.level", "--log-level", self.log_level.clone()),
            ("log.format", "--log-format", self.log_format.clone()),
        ];
        let given = flags.into_iter().filter_map(|(key, source, value)| {
            Some(Override {
                key: key.to_owned(),
                value: value?,
                source: source.to_owned(),
            })
        });
        given.collect()
    }
}

/// The absolute path, as a shell's user means it; an empty one stays empty.
pub(super) fn absolute(path: &str) -> String {
    match std::path::absolute(path) {
        Ok(path) => path.to_string_lossy().into_owned(),
        Err(_) => path.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        configuration: Configuration,
    }

    /// Whatever enters by a flag passes the checks of the file, as it was written.
    #[test]
    fn no_flag_shows_a_secret() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("c.toml");
        std::fs::write(&file, "").unwrap();
        let token = format!("usrlocd_{}", "0123456789abcdef".repeat(4));
        let load = |flag: &str, value: &str| {
            let file = file.to_str().unwrap();
            let words = ["usrlocd", "--config", file, flag, value];
            Line::parse_from(words).configuration.load()
        };
        for flag in [
            "--database",
            "--jsonrpc",
            "--store",
            "--listen",
            "--socket",
            "--tokens-file",
            "--log-level",
            "--log-format",
            "--config",
        ] {
            for value in [
                "mysql://u:s3cr3t@h/k",
                "postgres://u:s3cr3t@h/k",
                "mysql:u:s3cr3t@tcp(h)/k",
                "u:s3cr3t@tcp(h)/k",
                "host=h password=s3cr3t",
                "sqlite:////k.db?key=s3cr3t",
                "http://u:s3cr3t@127.0.0.1/RPC",
                &token,
            ] {
                let loaded = if flag == "--config" {
                    Configuration::of(Some(value.into())).load()
                } else {
                    load(flag, value)
                };
                // A server's URL is what --database takes.
                let is_taken = flag == "--database" && value.ends_with("://u:s3cr3t@h/k");
                assert_eq!(loaded.is_ok(), is_taken, "{flag} {value}");
                let told = loaded.map_or_else(|it| it.to_string(), |it| it.to_string());
                assert!(
                    !told.contains("s3cr3t") && !told.contains(&token),
                    "{flag} {value}: {told}"
                );
            }
        }
        let told = load("--database", "sqlite:///srv/k.db").unwrap_err();
        assert!(told.to_string().contains("here \"/srv/k.db\""), "{told}");
        let here = load("--database", "k.db").unwrap().config;
        let expected = std::env::current_dir().unwrap().join("k.db");
        assert_eq!(here.kamailio.database, expected);
    }
}
