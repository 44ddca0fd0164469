//! TLS: one provider, chosen roots, and failures that say what to do.

use std::io;
use std::sync::Arc;

use device_writeback_engine::error::{Error, ErrorKind};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{AlertDescription, CertificateError, ClientConfig, RootCertStore};

use crate::options::Roots;

/// The configuration of every connection.
///
/// # Errors
/// [`ErrorKind::Config`]: no certificate to believe.
pub(crate) fn client_config(roots: &Roots) -> Result<Arc<ClientConfig>, Error> {
    let mut store = RootCertStore::empty();
    match roots {
        Roots::Pem(pem) => {
            let wrong = |what: &str| {
                Error::new(
                    ErrorKind::Config,
                    format!("reading the certificates to believe: {what}"),
                )
                .with_remedy("directory.ca_file is the PEM text of the CA that issued the domain controllers' certificates (BEGIN CERTIFICATE)")
            };
            for certificate in CertificateDer::pem_slice_iter(pem) {
                let certificate = certificate.map_err(|error| {
                    wrong("the PEM text is damaged").with_source(error.to_string())
                })?;
                store
                    .add(certificate)
                    .map_err(|error| wrong("one of them is no certificate").with_source(error))?;
            }
            if store.is_empty() {
                return Err(wrong("there is none"));
            }
        }
        Roots::System => {
            let loaded = rustls_native_certs::load_native_certs();
            let (added, _) = store.add_parsable_certificates(loaded.certs);
            for error in &loaded.errors {
                tracing::warn!(%error, "a certificate that this machine trusts cannot be read");
            }
            if added == 0 {
                return Err(Error::new(
                    ErrorKind::Config,
                    "this machine has no certificate authorities to believe",
                )
                .with_remedy("name the CA that issued the domain controllers' certificates with directory.ca_file, or install the package ca-certificates"));
            }
        }
    }
    // The provider is named and not taken from the process: an embedder may have another one installed.
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::new(ErrorKind::Internal, "setting up TLS").with_source(error))?
        .with_root_certificates(store)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

/// What went wrong in a TLS handshake, and what to do.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Handshake {
    pub(crate) what: String,
    pub(crate) remedy: String,
}

/// Understands what a handshake with `host` failed of.
pub(crate) fn explain_io(error: &io::Error, host: &str) -> Handshake {
    if let Some(tls) = error
        .get_ref()
        .and_then(|source| source.downcast_ref::<rustls::Error>())
    {
        return explain(tls, host);
    }
    match error.kind() {
        io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::BrokenPipe
        | io::ErrorKind::UnexpectedEof => {
            no_common_ground("the server ended the connection in the middle of the TLS handshake")
        }
        _ => Handshake {
            what: format!("the TLS handshake failed: {error}"),
            remedy: "see whether this port speaks TLS".to_owned(),
        },
    }
}

/// Understands what a handshake with `host` failed of.
pub(crate) fn explain(error: &rustls::Error, host: &str) -> Handshake {
    let bad = |what: String, remedy: &str| Handshake {
        what,
        remedy: remedy.to_owned(),
    };
    match error {
        rustls::Error::InvalidCertificate(reason) => match reason {
            // A CA of the same name with another key, as one that was renewed, gives a bad signature.
            CertificateError::UnknownIssuer | CertificateError::BadSignature => bad(
                "the server's certificate was not issued by a CA that is believed".to_owned(),
                "give the PEM file of the CA that issued it as directory.ca_file; if it should be believed already, somebody else answers in its place",
            ),
            CertificateError::NotValidForNameContext { presented, .. } => bad(
                if presented.is_empty() {
                    format!("the server's certificate names no host, so it is not \"{host}\"'s")
                } else {
                    format!(
                        "the server's certificate is not \"{host}\"'s, it names {}",
                        presented.join(", ")
                    )
                },
                "use a name that the certificate carries as a subject alternative name, or give the domain controller a certificate with its DNS name",
            ),
            CertificateError::NotValidForName => bad(
                format!("the server's certificate is not \"{host}\"'s"),
                "use a name that the certificate carries as a subject alternative name",
            ),
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => bad(
                "the server's certificate has expired".to_owned(),
                "renew it on the domain controller, and see whether this machine's clock is right",
            ),
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => bad(
                "the server's certificate is not valid yet".to_owned(),
                "see whether this machine's clock is right",
            ),
            other => bad(
                format!("the server's certificate is refused: {other}"),
                "look at the certificate with openssl s_client -connect",
            ),
        },
        rustls::Error::AlertReceived(
            AlertDescription::HandshakeFailure
            | AlertDescription::InsufficientSecurity
            | AlertDescription::ProtocolVersion
            | AlertDescription::InternalError,
        )
        | rustls::Error::PeerIncompatible(_) => no_common_ground(&format!(
            "the server and this program have no cipher suite in common ({error})"
        )),
        rustls::Error::InvalidMessage(_) => bad(
            format!("the server does not speak TLS on this port ({error})"),
            "ldaps:// is port 636; on port 389 use ldap:// with directory.start_tls = true",
        ),
        other => bad(
            format!("the TLS handshake failed: {other}"),
            "look at the connection with openssl s_client -connect",
        ),
    }
}

/// Windows Server 2012 R2 offers forward secrecy with an authenticated cipher only for ECDSA certificates: with an RSA one
/// there is nothing left that this TLS library speaks, and Schannel answers with an alert or by hanging up.
fn no_common_ground(what: &str) -> Handshake {
    Handshake {
        what: what.to_owned(),
        remedy: "a domain controller on Windows Server 2012 R2 with an RSA certificate speaks only cipher suites that are not accepted here: give it an ECDSA certificate, or use a domain controller on Windows Server 2016 or later; else see whether the server has a certificate at all and offers TLS 1.2".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roots_without_a_certificate_are_refused() {
        for (pem, expected) in [
            (&b""[..], "there is none"),
            (b"nothing of the kind", "there is none"),
            (
                b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
                "no certificate",
            ),
        ] {
            let error = client_config(&Roots::Pem(pem.to_vec())).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Config);
            assert!(error.to_string().contains(expected), "{error}");
            assert!(error.remedy().unwrap().contains("ca_file"));
        }
    }

    #[test]
    fn failures_are_understood() {
        let alert = rustls::Error::AlertReceived(AlertDescription::HandshakeFailure);
        assert!(explain(&alert, "dc1").remedy.contains("2012 R2"));
        let reset = io::Error::from(io::ErrorKind::ConnectionReset);
        assert!(explain_io(&reset, "dc1").remedy.contains("ECDSA"));
        let unknown = rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer);
        let renewed = rustls::Error::InvalidCertificate(CertificateError::BadSignature);
        assert_eq!(explain(&renewed, "dc1"), explain(&unknown, "dc1"));
        let wrapped = io::Error::new(io::ErrorKind::InvalidData, unknown);
        assert!(
            explain_io(&wrapped, "dc1")
                .remedy
                .contains("directory.ca_file")
        );
        let expired = rustls::Error::InvalidCertificate(CertificateError::Expired);
        assert!(explain(&expired, "dc1").what.contains("expired"));
    }
}
