//! The flags that choose and override the configuration.

use std::path::PathBuf;

use clap::{Args, ValueHint};

use crate::config::{Config, Loaded, Override, Problems, environment};

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
        help = "Kamailio's SQLite file ([kamailio] database)",
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
        Loaded::load(
            self.file.config.as_deref(),
            environment(),
            &self.overrides(),
        )
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
        let file = |path: &Option<String>| path.as_deref().map(absolute);
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
