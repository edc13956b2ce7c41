//! TLS for a phone: what it sends in plain to a port of its own goes to the registrar over one TLS connection.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, mpsc};
use std::thread;

use tokio::runtime;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// A connection to `registrar`, whose certificate is that in `certificate`, and the address from which it comes there. It
/// lasts as long as the stream that is returned.
///
/// # Panics
///
/// When the registrar cannot be reached, or has another certificate.
pub(super) fn connect(registrar: SocketAddr, certificate: &Path) -> (TcpStream, SocketAddr) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let inner = listener.local_addr().expect("it is bound");
    let own = TcpStream::connect(inner).expect("loopback reaches itself");
    let (plain, _) = listener.accept().expect("it has connected");
    let certificate = CertificateDer::from_pem_file(certificate).expect("it is there");
    let (tell, source) = mpsc::channel();
    thread::spawn(move || {
        let runtime = runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.expect("the system has what it takes");
        let carried = runtime.block_on(carry(plain, registrar, certificate, &tell));
        // Once it was there, either side may end it, and nobody listens.
        let _unheard = tell.send(carried.map(|()| registrar));
    });
    let source = source.recv().expect("it tells how it went");
    let source = source.unwrap_or_else(|error| panic!("no TLS with {registrar}: {error}"));
    (own, source)
}

async fn carry(
    plain: TcpStream,
    registrar: SocketAddr,
    certificate: CertificateDer<'static>,
    source: &mpsc::Sender<io::Result<SocketAddr>>,
) -> io::Result<()> {
    let mut roots = RootCertStore::empty();
    roots.add(certificate).map_err(io::Error::other)?;
    let config = ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let outer = tokio::net::TcpStream::connect(registrar).await?;
    let from = outer.local_addr()?;
    let connector = TlsConnector::from(Arc::new(config));
    let mut outer = connector.connect(registrar.ip().into(), outer).await?;
    plain.set_nonblocking(true)?;
    let mut plain = tokio::net::TcpStream::from_std(plain)?;
    source.send(Ok(from)).map_err(io::Error::other)?;
    tokio::io::copy_bidirectional(&mut plain, &mut outer).await?;
    Ok(())
}
