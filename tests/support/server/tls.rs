//! A server that speaks TLS.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

use super::{Engine, Server};

impl Server {
    /// Starts a server that speaks TLS, with a certificate by the authority in its file `ca.pem`; `other-ca.pem` is
    /// another one.
    pub(crate) fn start_with_tls(engine: Engine) -> Arc<Self> {
        let server = Self::prepare(engine, false);
        for authority in ["other-ca.pem", "ca.pem"] {
            let mut params = CertificateParams::new(Vec::new()).expect("it has no names");
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            let key = || KeyPair::generate().expect("there is randomness");
            let ca = CertifiedIssuer::self_signed(params, key()).expect("it signs itself");
            let own = CertificateParams::new(vec!["127.0.0.1".to_owned()]).expect("an address");
            let own_key = key();
            let own = own.signed_by(&own_key, &ca).expect("it signs others");
            for (name, pem) in [
                (authority, ca.pem()),
                ("server.crt", own.pem()),
                ("server.key", own_key.serialize_pem()),
            ] {
                fs::write(server.file(name), pem).expect("an own directory is writable");
            }
        }
        let key = server.file("server.key");
        fs::set_permissions(&key, Permissions::from_mode(0o600)).expect("it is there");
        for name in ["server.crt", "server.key"] {
            server.own(&server.file(name));
        }
        server.stop();
        server.resume();
        Arc::new(server)
    }

    /// Starts it anew without a certificate.
    pub(crate) fn without_tls(&self) {
        fs::remove_file(self.file("server.crt")).expect("it is there");
        self.stop();
        self.resume();
    }

    /// The URL that usrlocd is given, which insists on a certificate by this authority.
    pub(crate) fn url_with_tls(&self, authority: &str) -> String {
        let (url, authority) = (self.url(), self.file(authority));
        let authority = authority.display();
        match self.engine {
            Engine::Postgres => format!("{url}?sslmode=verify-full&sslrootcert={authority}"),
            Engine::MariaDb => format!("{url}?ssl-mode=VERIFY_IDENTITY&ssl-ca={authority}"),
        }
    }

    /// Has it speak TLS, where it has a certificate.
    pub(super) fn encrypt(&self, command: &mut Command) {
        let (certificate, key) = (self.file("server.crt"), self.file("server.key"));
        if !certificate.is_file() {
            return;
        }
        let (certificate, key) = (certificate.display(), key.display());
        match self.engine {
            Engine::Postgres => command
                .args(["-c", "ssl=on", "-c"])
                .arg(format!("ssl_cert_file={certificate}"))
                .arg("-c")
                .arg(format!("ssl_key_file={key}")),
            Engine::MariaDb => command
                .arg(format!("--ssl-cert={certificate}"))
                .arg(format!("--ssl-key={key}")),
        };
    }
}
