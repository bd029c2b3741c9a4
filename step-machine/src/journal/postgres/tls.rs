//! TLS with the certificates that this machine trusts.

use std::sync::Arc;

use deadpool_postgres::{ConfigConnectImpl, Connect};
use rustls::{ClientConfig, RootCertStore};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::error::unusable;
use crate::journal::JournalError;

pub(super) fn connector(journal: &str) -> Result<Arc<dyn Connect>, JournalError> {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        let source = found.errors.into_iter().next().map_or_else(|| "there are none".into(), Into::into);
        let advice = "this machine has no certificates to trust: install them, name a file of them by the environment \
                      variable SSL_CERT_FILE, or hand in a connector with `tls`";
        return Err(unusable(journal, advice, source));
    }
    // The process may have installed no provider, or another one.
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| unusable(journal, "a fault of this crate", Box::new(error)))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(ConfigConnectImpl { tls: MakeRustlsConnect::new(config) }))
}
