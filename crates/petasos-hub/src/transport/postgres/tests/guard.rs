//! Who is let in: passwords, TLS, certificates, and what is said where somebody is not.

use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

use super::*;

struct Guarded {
    server: PostgresServer,
    directory: tempfile::TempDir,
}

impl Guarded {
    fn file(&self, name: &str) -> String {
        self.directory.path().join(name).display().to_string()
    }

    fn url(&self, user: &str, host: &str, parameters: &str) -> String {
        let port = self.server.address().port();
        format!("postgres://{user}@{host}:{port}/petasos?schema=guarded&{parameters}")
    }
}

fn authority(name: &str) -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::new(Vec::new()).expect("parameters");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, name);
    CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("an authority")
}

fn issue(authority: &CertifiedIssuer<'static, KeyPair>, name: &str) -> (String, String) {
    let mut params = CertificateParams::new(vec![name.to_owned()]).expect("parameters");
    params.distinguished_name.push(DnType::CommonName, name);
    let key = KeyPair::generate().expect("a key");
    let certificate = params.signed_by(&key, authority).expect("a certificate");
    (certificate.pem(), key.serialize_pem())
}

/// A server that speaks TLS as `localhost`. The role `secret` has a password and needs TLS, `certified` a certificate.
fn guarded() -> Guarded {
    let directory = tempfile::tempdir().expect("a directory");
    let write = |name: &str, content: &str| -> PathBuf {
        let path = directory.path().join(name);
        std::fs::write(&path, content).expect("a file");
        path
    };
    let (known, other) = (authority("known"), authority("other"));
    let (certificate, key) = issue(&known, "localhost");
    let (client, client_key) = issue(&known, "certified");
    let root = write("root.pem", &known.pem());
    write("other.pem", &other.pem());
    write("client.pem", &client);
    write("client-key.pem", &client_key);
    let (certificate, key) = (write("server.pem", &certificate), write("server-key.pem", &key));
    PostgresServer::own(&key);
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(directory.path(), mode).expect("reachable");
    let setting = |name: &str, path: &Path| format!("{name}={}", path.display());
    let files = [
        setting("ssl_cert_file", &certificate),
        setting("ssl_key_file", &key),
        setting("ssl_ca_file", &root),
    ];
    let mut settings = vec!["fsync=off", "ssl=on"];
    settings.extend(files.iter().map(String::as_str));
    let server = PostgresServer::start_with(&settings);
    server.query(
        "CREATE ROLE secret LOGIN PASSWORD 'right & proper'; GRANT CREATE ON DATABASE petasos TO secret",
    );
    server.query("CREATE ROLE certified LOGIN");
    server.admit("host all secret 127.0.0.1/32 reject\nhost all certified 127.0.0.1/32 reject");
    server.admit("hostssl all secret 127.0.0.1/32 scram-sha-256\nhostssl all certified 127.0.0.1/32 cert");
    Guarded { server, directory }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_has_the_password_is_let_in_over_tls() {
    let guarded = guarded();
    let root = guarded.file("root.pem");
    let right = "secret:right%20%26%20proper";
    for (host, parameters) in [
        ("127.0.0.1", "sslmode=prefer".to_owned()),
        ("127.0.0.1", "sslmode=require".to_owned()),
        ("127.0.0.1", format!("sslmode=verify-ca&sslrootcert={root}")),
        ("localhost", format!("sslmode=verify-full&sslrootcert={root}")),
        ("localhost", format!("sslrootcert={root}")),
    ] {
        let log = open(&config(&guarded.url(right, host, &parameters))).await;
        append(&log, &parameters).await;
    }
    let all_encrypted = "SELECT bool_and(s.ssl) FROM pg_stat_ssl s JOIN pg_stat_activity a USING (pid) WHERE a.usename = 'secret'";
    let log = open(&config(&guarded.url(right, "127.0.0.1", "sslmode=require"))).await;
    append(&log, "encrypted").await;
    assert_eq!(guarded.server.query(all_encrypted), "t");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_is_not_let_in_is_told_why_without_the_password() {
    let guarded = guarded();
    let (root, other) = (guarded.file("root.pem"), guarded.file("other.pem"));
    let right = "secret:right%20%26%20proper";
    for (user, host, parameters, said) in [
        ("secret:hunter2", "127.0.0.1", "sslmode=require".to_owned(), "password authentication failed"),
        ("secret", "127.0.0.1", "sslmode=require".to_owned(), "password missing"),
        (right, "127.0.0.1", "sslmode=disable".to_owned(), "pg_hba.conf"),
        (right, "localhost", format!("sslmode=verify-full&sslrootcert={other}"), "sslrootcert"),
        (right, "localhost", format!("sslmode=verify-ca&sslrootcert={other}"), "sslrootcert"),
        (right, "localhost", "sslmode=verify-full".to_owned(), "certificate"),
        (right, "127.0.0.1", format!("sslmode=verify-full&sslrootcert={root}"), "certificate"),
        ("certified", "127.0.0.1", "sslmode=require".to_owned(), "certificate"),
    ] {
        let refused = PostgresTransport::open(config(&guarded.url(user, host, &parameters))).await;
        let error = refused.expect_err(&parameters);
        let text = error.to_string();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{parameters}: {text}");
        assert!(text.contains(said), "{parameters}: {text}");
        assert!(!text.contains("hunter2") && !text.contains("proper"), "{text}");
    }
    let missing = guarded.url(right, "127.0.0.1", "").replace("/petasos?", "/nowhere?");
    let error = PostgresTransport::open(config(&missing)).await.expect_err("no database");
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.to_string().contains("create the database"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_is_as_good_as_a_password() {
    let guarded = guarded();
    apply(&config(&guarded.server.url("guarded")), Some("certified")).await.expect("tables");
    let (certificate, key) = (guarded.file("client.pem"), guarded.file("client-key.pem"));
    let parameters = format!("sslmode=require&sslcert={certificate}&sslkey={key}");
    let log = open(&config(&guarded.url("certified", "127.0.0.1", &parameters))).await;
    append(&log, "a").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_speaks_no_tls_is_refused_where_tls_is_required() {
    let (server, log, _) = shared();
    let url = format!("{}&sslmode=require", server.url(&log));
    let error = PostgresTransport::open(config(&url)).await.expect_err("no TLS");
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.to_string().contains("does not support TLS"), "{error}");
    open(&config(&format!("{}&sslmode=prefer", server.url(&log)))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_unix_socket_is_a_host_too() {
    let directory = tempfile::tempdir().expect("a directory");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o777);
    std::fs::set_permissions(directory.path(), mode).expect("reachable");
    let path = directory.path().display().to_string();
    let server = PostgresServer::start_with(&["fsync=off", &format!("unix_socket_directories={path}")]);
    let (host, port) = (path.replace('/', "%2F"), server.address().port());
    let log = open(&config(&format!("postgres://petasos@{host}:{port}/petasos"))).await;
    append(&log, "a").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_not_there_may_come() {
    let address = petasos_testkit::process::free_address();
    let error = PostgresTransport::open(config(&format!("postgres://a:hunter2@{address}/d")))
        .await
        .expect_err("nobody");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.to_string().contains("refused") && !error.to_string().contains("hunter2"), "{error}");
}
