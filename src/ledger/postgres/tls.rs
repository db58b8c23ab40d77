//! Encrypted connections by the one TLS stack of the house, for a driver that brings none.

use std::{
    io,
    path::Path,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::tls::{ChannelBinding, MakeTlsConnect, TlsConnect, TlsStream};
use tokio_rustls::{TlsConnector, client};

use super::failure::Failure;
use crate::{error::system_words, http::pem};

/// Makes connections whose server has shown that it is the one of that name.
#[derive(Clone)]
pub(super) struct Tls(TlsConnector);

/// The same for one server.
pub(super) struct ToHost(TlsConnector, ServerName<'static>);

/// An encrypted connection.
pub(super) struct Encrypted<S>(client::TlsStream<S>);

impl Tls {
    /// Trusts the system's authorities and those in `ca_file`. It is read each time: whoever mends it
    /// need not start us again.
    pub(super) fn trusting(ca_file: Option<&Path>) -> Result<Self, Failure> {
        let mut extra: Vec<CertificateDer<'static>> = Vec::new();
        if let Some(path) = ca_file {
            let bad = |words: String| {
                Failure::Unavailable(format!(
                    "`ca_file` {} cannot be used: {words}",
                    path.display()
                ))
            };
            let bytes = std::fs::read(path).map_err(|error| bad(system_words(&error)))?;
            pem::certificates(&bytes).map_err(|error| bad(error.to_string()))?;
            for certificate in CertificateDer::pem_slice_iter(&bytes) {
                extra.push(certificate.map_err(|error| bad(error.to_string()))?);
            }
        }
        let config = config(extra).map_err(|error| {
            Failure::Unavailable(format!(
                "no encrypted connection can be made: {error}; install the system's certificate \
                 authorities (the package ca-certificates) or name a PEM file in `ca_file`"
            ))
        })?;
        Ok(Self(TlsConnector::from(Arc::new(config))))
    }
}

fn config(extra: Vec<CertificateDer<'static>>) -> Result<ClientConfig, rustls::Error> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()?;
    let mut roots = RootCertStore::empty();
    for certificate in extra {
        roots.add(certificate)?;
    }
    let system = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(system.certs);
    if roots.is_empty() {
        return Err(rustls::Error::General(
            "this system has no certificate authorities".to_owned(),
        ));
    }
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

impl<S> MakeTlsConnect<S> for Tls
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    type Stream = Encrypted<S>;
    type TlsConnect = ToHost;
    type Error = io::Error;

    fn make_tls_connect(&mut self, host: &str) -> io::Result<ToHost> {
        let name = ServerName::try_from(host.to_owned())
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        Ok(ToHost(self.0.clone(), name))
    }
}

impl<S> TlsConnect<S> for ToHost
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    type Stream = Encrypted<S>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Encrypted<S>>> + Send>>;

    fn connect(self, stream: S) -> Self::Future {
        Box::pin(async move { Ok(Encrypted(self.0.connect(self.1, stream).await?)) })
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> TlsStream for Encrypted<S> {
    /// None: the certificate was verified, and so was the name in it.
    fn channel_binding(&self) -> ChannelBinding {
        ChannelBinding::none()
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Encrypted<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Encrypted<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}
