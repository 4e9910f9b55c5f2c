//! https, to a server that shares no code with us: Python's `ssl`, with certificates of a private
//! authority.

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    date_time_ymd,
};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::process::{Child, ChildStdout, Command, Stdio};
use testkit::{Ended, Folder, Launch, Receiver, Reply, best_effort, event};

/// A GET is answered with a document, and no end. Takes a certificate, a key, and perhaps an authority that clients have to be known to. Prints
/// its port; then, once its standard input ends, a line for each request: its body, and the
/// client's name.
const SERVER: &str = r#"
import http.server, json, ssl, sys, threading
seen = []
connections = set()
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        connections.add(self.client_address)
        client = self.connection.getpeercert() or {}
        seen.append({"body": body.decode(), "client": client.get("subject"),
                     "version": self.connection.version(), "connections": len(connections)})
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")
    def do_GET(self):
        client = self.connection.getpeercert() or {}
        document = {"id": "x", "client": client.get("subject")}
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(document).encode() + b"\n")
        self.close_connection = True
        self.rfile.read(1)
    def log_message(self, *args):
        pass
class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    def handle_error(self, *args):
        pass
    def finish_request(self, request, address):
        super().finish_request(context.wrap_socket(request, server_side=True), address)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[1], sys.argv[2])
if sys.argv[3] != "-":
    context.load_verify_locations(sys.argv[3])
    context.verify_mode = ssl.CERT_REQUIRED
if sys.argv[4] == "1.2":
    context.maximum_version = ssl.TLSVersion.TLSv1_2
server = Server(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
print(server.server_port, flush=True)
sys.stdin.read()
for request in seen:
    print(json.dumps(request))
"#;

/// An authority of our own, in a folder.
pub(crate) struct Authority {
    folder: Folder,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    pub(crate) fn new() -> Authority {
        let mut params = CertificateParams::new([]).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let issuer = CertifiedIssuer::self_signed(params, key).expect("it signs itself");
        let folder = Folder::new();
        folder.write("ca.pem", issuer.pem());
        Authority { folder, issuer }
    }

    /// Writes NAME.pem and NAME-key.pem.
    fn issue(&self, name: &str, adjust: impl FnOnce(&mut CertificateParams)) {
        let mut params = CertificateParams::new([]).expect("no names");
        params
            .distinguished_name
            .push(rcgen::DnType::CommonName, name);
        adjust(&mut params);
        let key = KeyPair::generate().expect("a key");
        let certificate = params
            .signed_by(&key, &self.issuer)
            .expect("the authority signs");
        self.folder.write(&format!("{name}.pem"), certificate.pem());
        self.folder
            .write(&format!("{name}-key.pem"), key.serialize_pem());
    }

    pub(crate) fn issue_for_hosts(&self, name: &str, hosts: &[&str]) {
        let hosts: Vec<String> = hosts.iter().map(|&host| host.to_owned()).collect();
        let params = CertificateParams::new(hosts).expect("names of hosts");
        self.issue(name, |own| own.subject_alt_names = params.subject_alt_names);
    }

    pub(crate) fn path(&self, file: &str) -> String {
        let path = self.folder.path().join(file);
        path.to_str().expect("its path is text").to_owned()
    }
}

struct Server {
    child: Child,
    stdout: BufReader<ChildStdout>,
    port: u16,
}

impl Server {
    /// `None` where there is no Python.
    fn start(
        authority: &Authority,
        certificate: &str,
        clients: &str,
        newest: &str,
    ) -> Option<Self> {
        let spawned = Command::new("python3")
            .args(["-c", SERVER])
            .arg(authority.path(&format!("{certificate}.pem")))
            .arg(authority.path(&format!("{certificate}-key.pem")))
            .args([clients, newest])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn();
        let mut child = match spawned {
            Ok(child) => child,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let skipped = "SKIPPED: python3 is not installed";
                drop(writeln!(std::io::stderr(), "{skipped}"));
                return None;
            }
            Err(error) => panic!("python3 does not start: {error}"),
        };
        let mut stdout = BufReader::new(child.stdout.take().expect("it is piped"));
        let mut port = String::new();
        stdout.read_line(&mut port).expect("it tells its port");
        let port = port.trim().parse().expect("a port");
        Some(Server {
            child,
            stdout,
            port,
        })
    }

    /// What it was sent.
    fn requests(mut self) -> Vec<Value> {
        drop(self.child.stdin.take());
        let mut report = String::new();
        self.stdout.read_to_string(&mut report).expect("it reports");
        assert!(self.child.wait().expect("it ends").success());
        let lines = report.lines();
        lines
            .map(|line| serde_json::from_str(line).expect("JSON"))
            .collect()
    }
}

/// Delivers five events of one task.
fn deliver(url: &str, tls: &Value, code: i32) -> Ended {
    let folder = Folder::new();
    let mut config = best_effort(url);
    config["timeoutMsec"] = 60_000.into();
    config["tls"] = tls.clone();
    let lines: String = (0..5).map(|number| event("one", number) + "\n").collect();
    Launch::with_config(&folder.config(&config))
        .run(lines)
        .expect_code(code)
}

/// Checks that nothing is sent, and that the log says this.
fn check_refused(authority: &Authority, certificate: &str, tls: &Value, words: &str) {
    let Some(server) = Server::start(authority, certificate, "-", "1.3") else {
        return;
    };
    let url = format!("https://localhost:{}/", server.port);
    let ended = deliver(&url, tls, 1);
    assert_eq!(ended.summary().outcomes(), "connect 5", "{certificate}");
    assert!(ended.stderr.contains(words), "{}", ended.stderr);
    assert_eq!(server.requests(), [Value::Null; 0]);
}

#[test]
fn a_private_authority_is_trusted_over_one_connection_in_tls_1_2_and_1_3() {
    let authority = Authority::new();
    authority.issue_for_hosts("server", &["localhost", "127.0.0.1"]);
    for (newest, host) in [
        ("1.3", "localhost"),
        ("1.2", "localhost"),
        ("1.3", "127.0.0.1"),
    ] {
        let Some(server) = Server::start(&authority, "server", "-", newest) else {
            return;
        };
        let url = format!("https://{host}:{}/", server.port);
        let tls = json!({ "caFile": authority.path("ca.pem") });
        let summary = deliver(&url, &tls, 0).summary();
        assert_eq!(summary.outcomes(), "2xx 5");
        let requests = server.requests();
        assert_eq!(requests.len(), 5);
        for (number, request) in requests.iter().enumerate() {
            assert_eq!(request["body"], event("one", number));
            assert_eq!(request["version"], format!("TLSv{newest}"));
            assert_eq!(request["connections"], 1, "it is kept");
        }
    }
}

/// Takes one connection, and leads it to the port that it asks for; what it asked with.
fn tunnel() -> (String, std::thread::JoinHandle<String>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
    let address = listener.local_addr().expect("a listener has an address");
    let thread = std::thread::spawn(move || {
        let (near, _) = listener.accept().expect("a client connects");
        let mut reader = BufReader::new(&near);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert_ne!(reader.read_line(&mut head).expect("text"), 0, "{head}");
        }
        let authority = head.split(' ').nth(1).expect("CONNECT host:port");
        let far = TcpStream::connect(authority).expect("the server listens");
        (&near)
            .write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")
            .expect("the client reads");
        std::thread::scope(|scope| {
            scope.spawn(|| pass(&near, &far));
            pass(&far, &near);
        });
        head
    });
    (format!("http://user:pass@{address}"), thread)
}

/// Passes on what comes, to its end.
fn pass(mut from: &TcpStream, mut to: &TcpStream) {
    // Either side may end it.
    drop(std::io::copy(&mut from, &mut to));
    drop(to.shutdown(Shutdown::Both));
}

#[test]
fn a_proxy_is_told_the_servers_name_and_nothing_else() {
    let authority = Authority::new();
    authority.issue_for_hosts("server", &["localhost"]);
    let Some(server) = Server::start(&authority, "server", "-", "1.3") else {
        return;
    };
    let (proxy, head) = tunnel();
    let url = format!("https://localhost:{}/", server.port);
    let folder = Folder::new();
    let mut config = best_effort(&url);
    config["timeoutMsec"] = 60_000.into();
    config["proxy"] = proxy.into();
    config["tls"] = json!({ "caFile": authority.path("ca.pem") });
    let lines: String = (0..5).map(|number| event("one", number) + "\n").collect();
    let _ended = Launch::with_config(&folder.config(&config))
        .run(lines)
        .expect_code(0);
    let head = head.join().expect("the proxy does not panic");
    let line = format!("CONNECT localhost:{} HTTP/1.1\r\n", server.port);
    assert!(head.starts_with(&line), "{head}");
    // base64 of "user:pass"
    let credentials = "Proxy-Authorization: Basic dXNlcjpwYXNz\r\n";
    assert!(head.contains(credentials), "{head}");
    let requests = server.requests();
    assert_eq!(requests.len(), 5);
    assert_eq!(requests[4]["connections"], 1, "the tunnel is kept");
}

#[test]
fn a_client_certificate_is_presented_where_one_is_asked_for() {
    let authority = Authority::new();
    authority.issue_for_hosts("server", &["localhost"]);
    authority.issue("client", |params| {
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    });
    let ca = authority.path("ca.pem");
    for newest in ["1.2", "1.3"] {
        let Some(server) = Server::start(&authority, "server", &ca, newest) else {
            return;
        };
        let url = format!("https://localhost:{}/", server.port);
        let ended = deliver(&url, &json!({ "caFile": ca }), 1);
        assert_eq!(
            ended.summary().count("/failed"),
            5,
            "no certificate, no delivery"
        );
        let tls = json!({
            "caFile": ca,
            "clientCertFile": authority.path("client.pem"),
            "clientKeyFile": authority.path("client-key.pem"),
        });
        assert_eq!(deliver(&url, &tls, 0).summary().outcomes(), "2xx 5");
        let requests = server.requests();
        assert_eq!(requests.len(), 5);
        for request in requests {
            assert_eq!(request["client"], json!([[["commonName", "client"]]]));
        }
    }
}

#[test]
fn a_certificate_of_another_authority_is_refused() {
    let authority = Authority::new();
    authority.issue_for_hosts("server", &["localhost"]);
    let other = Authority::new();
    check_refused(
        &authority,
        "server",
        &json!({ "caFile": other.path("ca.pem") }),
        "of another authority with the same name; name a PEM file of its own in `tls.caFile`",
    );
    // Nor is it among those that the whole world trusts.
    let words = "self-signed or of an authority that is not trusted";
    check_refused(&authority, "server", &json!({}), words);
}

#[test]
fn a_certificate_for_another_host_is_refused() {
    let authority = Authority::new();
    authority.issue_for_hosts("server", &["elsewhere.example.com", "127.0.0.1"]);
    check_refused(
        &authority,
        "server",
        &json!({ "caFile": authority.path("ca.pem") }),
        "the server's certificate is for another name; use its name in the URL",
    );
}

#[test]
fn a_certificate_that_has_expired_or_does_not_hold_yet_is_refused() {
    let authority = Authority::new();
    let names = CertificateParams::new(["localhost".to_owned()]).expect("a name");
    authority.issue("expired", |params| {
        params.subject_alt_names = names.subject_alt_names.clone();
        params.not_before = date_time_ymd(2000, 1, 1);
        params.not_after = date_time_ymd(2001, 1, 1);
    });
    authority.issue("early", |params| {
        params.subject_alt_names = names.subject_alt_names.clone();
        params.not_before = date_time_ymd(3000, 1, 1);
        params.not_after = date_time_ymd(3001, 1, 1);
    });
    let tls = json!({ "caFile": authority.path("ca.pem") });
    check_refused(&authority, "expired", &tls, "certificate has expired");
    check_refused(&authority, "early", &tls, "certificate is not valid yet");
}

#[test]
fn a_stream_is_read_from_a_private_authority_with_a_client_certificate() {
    let authority = Authority::new();
    authority.issue_for_hosts("server", &["localhost"]);
    authority.issue("webhookd", |own| {
        own.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    });
    let clients = authority.path("ca.pem");
    let Some(server) = Server::start(&authority, "server", &clients, "1.3") else {
        return;
    };
    let receiver = Receiver::always(Reply::status(200));
    let folder = Folder::new();
    let mut config = best_effort(&receiver.url());
    config["inputs"] = json!({ "in": { "schema": "json" } });
    config["sources"] = json!([{ "input": "in", "stream": {
        "url": format!("https://localhost:{}/", server.port),
        "tls": {
            "caFile": clients,
            "clientCertFile": authority.path("webhookd.pem"),
            "clientKeyFile": authority.path("webhookd-key.pem"),
        },
    } }]);
    let process = Launch::with_config(&folder.config(&config)).spawn();
    let arrived = receiver.wait_for_requests(1).remove(0);
    let document: Value = serde_json::from_slice(&arrived.body).expect("it is JSON");
    assert_eq!(document["client"][0][0][1], "webhookd");
    crate::streams::end(process);
    // Another authority is not trusted.
    config["sources"][0]["stream"]["tls"] = Value::Null;
    let process = Launch::with_config(&folder.config(&config)).spawn();
    process.wait_for_error("stream in: TLS: ");
    crate::streams::end(process);
}
