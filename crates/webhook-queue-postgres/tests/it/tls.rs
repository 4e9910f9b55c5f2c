//! Encrypted connections: libpq's `sslmode`.

use std::fs;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use testkit::{Postgres, Stop};
use webhook_queue::Queue;
use webhook_queue_postgres::{PostgresQueue, Settings, SslMode};

use crate::support::{append, event, refused, settings};

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority(name: &str) -> Authority {
    let mut parameters = CertificateParams::new([]).expect("no names");
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    parameters.distinguished_name.push(DnType::CommonName, name);
    let key = KeyPair::generate().expect("a key");
    CertifiedIssuer::self_signed(parameters, key).expect("a certificate")
}

/// A certificate for a name, and its key, in PEM.
fn certificate(authority: &Authority, name: &str) -> (String, String) {
    let key = KeyPair::generate().expect("a key");
    let mut parameters = CertificateParams::new([name.to_owned()]).expect("a name");
    parameters.distinguished_name.push(DnType::CommonName, name);
    let signed = parameters
        .signed_by(&key, authority)
        .expect("a certificate");
    (signed.pem(), key.serialize_pem())
}

/// Makes the server offer TLS with a certificate for this name.
fn serve(postgres: &mut Postgres, (certificate, key): &(String, String), ca: &Authority) {
    let path = |name: &str| postgres.folder().join(name);
    let files = [
        ("server.pem", certificate, "ssl_cert_file"),
        ("server.key", key, "ssl_key_file"),
        ("ca.pem", &ca.pem(), "ssl_ca_file"),
    ];
    for (name, content, setting) in files {
        fs::write(path(name), content).expect("a file");
        postgres.own(&path(name));
        postgres.set(&format!("{setting} = '{}'", path(name).display()));
    }
    postgres.set("ssl = on");
    postgres.stop(Stop::Fast);
    postgres.start_again();
}

#[test]
fn each_mode_checks_of_the_servers_certificate_what_libpq_does() {
    let Some(mut postgres) = Postgres::start(&["fsync = off"]) else {
        return;
    };
    let (ours, other) = (authority("ours"), authority("other"));
    let with = |postgres: &Postgres, ssl_mode, ca: Option<&Authority>| Settings {
        ssl_mode,
        ca_pem: ca.map(|ca| ca.pem().into_bytes()),
        ..settings(postgres)
    };
    let plain = refused(with(&postgres, SslMode::Require, None));
    assert!(plain.contains("TLS"), "{plain}");

    serve(&mut postgres, &certificate(&ours, "127.0.0.1"), &ours);
    let opens = |settings: Settings| {
        let queue = PostgresQueue::open(settings).expect("it opens");
        append(&queue, &[event(1, "k", &["a"])]);
        let encrypted = postgres.query(
            "SELECT bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) \
             WHERE usename = 'webhook'",
        );
        queue.close().expect("it closes");
        encrypted
    };
    for (mode, ca) in [
        (SslMode::Prefer, None),
        (SslMode::Require, None),
        (SslMode::Require, Some(&other)),
        (SslMode::VerifyCa, Some(&ours)),
        (SslMode::VerifyFull, Some(&ours)),
    ] {
        assert_eq!(opens(with(&postgres, mode, ca)), "t", "{mode:?}");
    }
    assert_eq!(opens(with(&postgres, SslMode::Disable, None)), "f");
    for (mode, ca) in [
        (SslMode::VerifyFull, None),
        (SslMode::VerifyFull, Some(&other)),
        (SslMode::VerifyCa, Some(&other)),
    ] {
        let refused = refused(with(&postgres, mode, ca));
        assert!(refused.contains("certificate"), "{mode:?}: {refused}");
    }

    serve(&mut postgres, &certificate(&ours, "db.example"), &ours);
    PostgresQueue::open(with(&postgres, SslMode::VerifyCa, Some(&ours))).expect("any name");
    let full = refused(with(&postgres, SslMode::VerifyFull, Some(&ours)));
    assert!(full.contains("db.example"), "{full}");

    let wrong = Settings {
        ca_pem: Some(b"no PEM".to_vec()),
        ..with(&postgres, SslMode::VerifyFull, None)
    };
    let wrong = refused(wrong);
    assert!(
        wrong.contains("a trusted certificate: there is none"),
        "{wrong}"
    );
}

#[test]
fn a_client_logs_in_with_its_certificate() {
    let Some(mut postgres) = Postgres::start(&["fsync = off"]) else {
        return;
    };
    let ours = authority("ours");
    serve(&mut postgres, &certificate(&ours, "127.0.0.1"), &ours);
    let rules = postgres.folder().join("data/pg_hba.conf");
    fs::write(
        &rules,
        "local all all trust\nhostssl all all 127.0.0.1/32 cert\n",
    )
    .expect("a file");
    postgres.query("SELECT pg_reload_conf()");
    let anonymous = Settings {
        ssl_mode: SslMode::VerifyFull,
        ca_pem: Some(ours.pem().into_bytes()),
        ..settings(&postgres)
    };
    let error = refused(anonymous.clone());
    assert!(error.contains("certificate"), "{error}");
    let (certificate, key) = certificate(&ours, "webhook");
    let known = Settings {
        client_pem: Some((certificate.into_bytes(), key.into_bytes())),
        ..anonymous
    };
    PostgresQueue::open(known).expect("it opens");
}
