//! A server that wants TLS, with a certificate that only this test trusts.

use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;

use rustls::pki_types::{CertificateDer, pem::PemObject};
use rustls::{ClientConfig, RootCertStore};
use step_machine::journal::{Claim, Journal};
use step_machine::{JournalError, PostgresJournal};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::server::Server;
use super::{append, try_sql};
use crate::sqlite::events;

const VARIABLE: &str = "STEP_MACHINE_TEST_TLS_POSTGRES";

/// The process that trusts what the variable `SSL_CERT_FILE` names, which holds for all of a process.
#[test]
fn keeps_a_run_over_tls_where_another_test_asks_for_it() {
    let Ok(url) = std::env::var(VARIABLE) else { return };
    let journal = match PostgresJournal::open(&url).wait() {
        Ok(journal) => journal,
        Err(error) => return println!("\nit was refused: {error:?}"),
    };
    let lease = journal.claim(&Claim::of("r")).wait().unwrap().lease;
    append(&journal, &lease, &events("r", 3));
    let encrypted = try_sql(
        &url.replace("sslmode=require", "sslmode=disable"),
        "SELECT DISTINCT ssl FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE application_name = 'step-machine'",
    );
    println!("\nencrypted: {}", encrypted.unwrap().join(", "));
    println!("\nevents: {}", journal.load(&"r".into()).wait().unwrap().len());
}

#[test]
fn a_run_is_kept_over_tls_by_who_trusts_the_certificate() {
    let server = Server::with(make_certificate);
    let url = format!("{}?sslmode=require", server.url());

    let said = keep(&url, &server.folder().join("authority.crt"));
    assert!(said.contains("\nencrypted: t\n") && said.contains("\nevents: 3\n"), "{said}");
}

#[test]
fn a_certificate_of_a_stranger_is_refused() {
    let server = Server::with(make_certificate);
    let url = format!("{}?sslmode=require", server.url());
    openssl(server.folder(), &format!("{AUTHORITY} -keyout other.key -out other.crt"));

    let said = keep(&url, &server.folder().join("other.crt"));
    assert!(said.contains("it was refused: Store") && said.contains("InvalidCertificate"), "{said}");
    assert!(
        said.contains("see whose certificate the server has, and that this machine trusts who signed it"),
        "{said}"
    );
}

#[test]
fn a_connector_of_the_user_is_the_one_that_is_used() {
    let server = Server::with(make_certificate);
    let url = format!("{}?sslmode=require", server.url());
    openssl(server.folder(), &format!("{AUTHORITY} -keyout other.key -out other.crt"));
    let open =
        |trusted: &str| PostgresJournal::options().tls(trusting(&server.folder().join(trusted))).open(&url).wait();

    let journal = open("authority.crt").unwrap();
    let lease = journal.claim(&Claim::of("r")).wait().unwrap().lease;
    append(&journal, &lease, &events("r", 3));
    // Those that write and read, and the one that holds what is owned.
    let encrypted = "SELECT ssl, count(*) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)
        WHERE application_name = 'step-machine' GROUP BY ssl";
    let said = try_sql(&server.url(), encrypted).unwrap();
    assert!(said.len() == 1 && said[0].starts_with("t | "), "{said:?}");
    assert_ne!(said, ["t | 1"]);

    let error = open("other.crt").unwrap_err();
    let JournalError::Store { advice, .. } = &error else { panic!("{error:?}") };
    assert!(advice.starts_with("see whose certificate the server has"), "{advice}");
}

/// TLS by which only what this certificate has signed is trusted.
fn trusting(certificate: &Path) -> MakeRustlsConnect {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(certificate).unwrap()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()));
    let config = config.with_safe_default_protocol_versions().unwrap();
    MakeRustlsConnect::new(config.with_root_certificates(roots).with_no_client_auth())
}

/// What the process says that keeps a run and trusts only `certificate`.
fn keep(url: &str, certificate: &Path) -> String {
    let test = "postgres::tls::keeps_a_run_over_tls_where_another_test_asks_for_it";
    let mut process = Command::new(std::env::current_exe().unwrap());
    process.args([test, "--exact", "--nocapture"]).env(VARIABLE, url).env("SSL_CERT_FILE", certificate);
    text(&process.output().unwrap())
}

const AUTHORITY: &str = "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=authority";

/// An authority, and the certificate of a server on the loopback that it signed; the server finds it by its settings.
fn make_certificate(folder: &Path) {
    std::fs::write(folder.join("names"), "subjectAltName=IP:127.0.0.1\nbasicConstraints=CA:FALSE\n").unwrap();
    openssl(folder, &format!("{AUTHORITY} -keyout authority.key -out authority.crt"));
    openssl(folder, "req -newkey rsa:2048 -nodes -subj /CN=server -keyout data/server.key -out server.csr");
    let sign = "x509 -req -in server.csr -CA authority.crt -CAkey authority.key -CAcreateserial -days 2";
    openssl(folder, &format!("{sign} -extfile names -out data/server.crt"));
    let settings = folder.join("data/postgresql.conf");
    let before = std::fs::read_to_string(&settings).unwrap();
    std::fs::write(&settings, format!("{before}\nssl = on\n")).unwrap();
}

fn openssl(folder: &Path, arguments: &str) {
    let made = Command::new("openssl").args(arguments.split(' ')).current_dir(folder).output();
    let made = made.expect("openssl makes the certificates of this test; PostgreSQL's package brings it");
    assert!(made.status.success(), "openssl {arguments}: {}", text(&made));
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}
