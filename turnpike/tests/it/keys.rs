//! Keys of tokens in the running system: from files that change, from an issuer that publishes them, and what is refused at
//! the start.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::encoding::{AsDer as _, PublicKeyX509Der};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

use crate::polling::Client;
use crate::process::{Directory, System, eventually, get, refused, run, stdout};

const PRODUCTION: (&str, &str) = ("TURNPIKE_ENV", "production");
const PAGES: (&str, &str) = ("CORS_ORIGIN", "https://app.example.com");
const SECRET: &str = "c3f1a97be0d2465890fe17ab34cd62b8";
const OTHER_SECRET: &str = "0d97b2ce64fa4d1b8be35f02a7c1693d";

/// Who signs tokens, elsewhere.
pub(crate) struct Issuer(Ed25519KeyPair);

impl Issuer {
    pub(crate) fn new() -> Self {
        Self(Ed25519KeyPair::generate().unwrap())
    }

    pub(crate) fn pem(&self) -> String {
        let der: PublicKeyX509Der<'_> = self.0.public_key().as_der().unwrap();
        format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", STANDARD.encode(der.as_ref()))
    }

    fn jwk(&self, id: &str) -> String {
        let x = URL_SAFE_NO_PAD.encode(self.0.public_key());
        format!(r#"{{"kty":"OKP","crv":"Ed25519","x":"{x}","kid":"{id}","use":"sig","alg":"EdDSA"}}"#)
    }

    pub(crate) fn token(&self, id: &str) -> String {
        let header = URL_SAFE_NO_PAD.encode(format!(r#"{{"alg":"EdDSA","typ":"JWT","kid":"{id}"}}"#));
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let payload = URL_SAFE_NO_PAD.encode(format!(r#"{{"sub":"alice","exp":{}}}"#, now + 600));
        let message = format!("{header}.{payload}");
        let signature = URL_SAFE_NO_PAD.encode(self.0.sign(message.as_bytes()));
        format!("{message}.{signature}")
    }
}

pub(crate) fn enters(system: &System, token: &str) -> bool {
    Client::enter(&system.gateway, token).receive("4").starts_with("40")
}

/// As an editor or a volume of secrets does it: there is the old file or the new one, never half of one.
pub(crate) fn replace(path: &Path, text: &str) {
    let draft = path.with_extension("draft");
    std::fs::write(&draft, text).unwrap();
    std::fs::rename(draft, path).unwrap();
}

#[test]
fn a_key_in_a_file_is_exchanged_while_the_system_runs() {
    let (first, second) = (Issuer::new(), Issuer::new());
    let directory = Directory::new();
    let (a, b) = (directory.write("a.pem", &first.pem()), directory.write("b.pem", &first.pem()));
    let keys = format!("a=file:{}, b=file:{}", a.display(), b.display());
    let system = System::start_with(&directory, &[], &[("TURNPIKE_JWT_PUBLIC_KEYS", &keys)]);
    assert!(enters(&system, &first.token("a")) && enters(&system, &first.token("b")));
    assert!(!enters(&system, &second.token("a")) && !enters(&system, &first.token("c")));
    replace(&b, &second.pem());
    eventually("the new key is read", || enters(&system, &second.token("b")));
    assert!(enters(&system, &first.token("a")), "and the other one stays");
    assert!(!enters(&system, &first.token("b")), "the old one is dead");
    replace(&a, "half a ke");
    replace(&b, &first.pem());
    eventually("the file is read again", || enters(&system, &first.token("b")));
    assert!(enters(&system, &first.token("a")), "a file without a key does not end it at once");
    let log = system.stop().join("\n");
    assert!(log.contains("the file of a key holds none"), "{log}");
}

/// Answers everybody with its keys, and counts them.
fn publisher(keys: &str) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (asked, body) = (Arc::new(AtomicUsize::new(0)), Mutex::new(format!(r#"{{"keys":[{keys}]}}"#)));
    let counted = Arc::clone(&asked);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
            while lines.next().is_some_and(|line| !line.is_empty()) {}
            counted.fetch_add(1, Ordering::Relaxed);
            let body = body.lock().unwrap();
            let _ = write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        }
    });
    (format!("http://{address}/keys"), asked)
}

#[test]
fn an_issuer_is_asked_by_the_clock_and_not_by_tokens() {
    let issuer = Issuer::new();
    let (url, asked) = publisher(&issuer.jwk("2026"));
    let system = System::start_with(&Directory::new(), &[], &[("TURNPIKE_JWKS_URL", &url)]);
    eventually("it is ready when it has the keys", || get(&system.admin, "/ready").0 == 200);
    assert!(enters(&system, &issuer.token("2026")));
    for number in 0..30 {
        assert!(!enters(&system, &issuer.token(&format!("unknown-{number}"))));
    }
    assert_eq!(asked.load(Ordering::Relaxed), 1, "half a minute has not gone by, or tokens cause requests");
    let (_, metrics) = get(&system.admin, "/metrics");
    assert!(metrics.contains(r#"turnpike_token_keys{source="issuer"} 1"#), "{metrics}");
    assert!(metrics.contains(r#"turnpike_jwks_requests_total{outcome="taken"} 1"#));
    assert!(metrics.contains(r#"turnpike_gateway_tokens_refused_total{reason="key"} 30"#), "{metrics}");
}

#[test]
fn without_its_issuer_a_system_is_not_ready() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("http://{closed}/keys");
    let system = System::start_with(&Directory::new(), &[], &[("TURNPIKE_JWKS_URL", &url)]);
    let unreachable = r#"turnpike_jwks_requests_total{outcome="unreachable"} 1"#;
    eventually("it has asked", || get(&system.admin, "/metrics").1.contains(unreachable));
    let (status, said) = get(&system.admin, "/ready");
    assert!(status == 503 && said.contains("gives no keys"), "{said}");
}

#[test]
fn tokens_in_urls_count_only_if_that_is_configured() {
    let directory = Directory::new();
    let token = stdout(run(&directory, &["token", "--user", "alice"], &[("JWT_SECRET", SECRET)]));
    let path = format!("/whep/live:a?token={}", token.trim_end());
    let status = |environment: &[(&str, &str)]| {
        let environment = [&[("JWT_SECRET", SECRET)], environment].concat();
        let system = System::start_with(&directory, &[], &environment);
        let post =
            format!("POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        let mut stream = std::net::TcpStream::connect(&system.gateway).unwrap();
        stream.write_all(post.as_bytes()).unwrap();
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).unwrap();
        line.split(' ').nth(1).unwrap().to_owned()
    };
    assert_eq!(status(&[]), "401");
    assert_eq!(
        status(&[("TURNPIKE_QUERY_TOKENS", "true")]),
        "409",
        "who asks is known, and nobody publishes"
    );
}

#[test]
fn production_says_at_once_all_that_is_wrong_with_keys() {
    let directory = Directory::new();
    let issuer = Issuer::new();
    let (secret, key) = (directory.write("secret", SECRET), directory.write("key.pem", &issuer.pem()));
    let mode = |path: &Path, mode| std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
    mode(&secret, 0o644);
    mode(&key, 0o666);
    let (secret_file, key_file) = (format!("file:{}", secret.display()), format!("file:{}", key.display()));
    let said = refused(
        &["--jwks-url", "http://127.0.0.1/keys", "--jwt-secret-next", &secret_file],
        &[
            PRODUCTION,
            ("TURNPIKE_JWT_PUBLIC_KEYS", &format!("a={key_file},a={key_file}")),
            ("TURNPIKE_CLUSTER_SECRET_NEXT", "short"),
        ],
    );
    for part in [
        "auth.jwt_secret_next (flag --jwt-secret-next): is set without auth.jwt_secret",
        "which every user of this machine may read; expected `chmod 600",
        "auth.cluster_secret_next (environment TURNPIKE_CLUSTER_SECRET_NEXT): has 5 bytes",
        "is set without auth.cluster_secret",
        "auth.cluster_secret (default): is required in production where there is no auth.jwt_secret",
        "has two keys with the id `a`",
        "which every user of this machine may change; expected `chmod 644",
        "can be read and changed on its way; expected https://",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    mode(&secret, 0o600);
    mode(&key, 0o644);
    let sound = |environment: &[(&str, &str)]| {
        stdout(run(&directory, &["config", "check"], &[&[PRODUCTION, PAGES], environment].concat()))
    };
    sound(&[("TURNPIKE_JWT_PUBLIC_KEYS", &key_file), ("TURNPIKE_CLUSTER_SECRET", &secret_file)]);
    sound(&[("TURNPIKE_JWKS_URL", "https://login.example.com/keys"), ("TURNPIKE_CLUSTER_SECRET", SECRET)]);
    sound(&[("JWT_SECRET", SECRET), ("TURNPIKE_JWT_SECRET_NEXT", OTHER_SECRET)]);
    let no_tokens =
        [PRODUCTION, PAGES, ("TURNPIKE_JWT_PUBLIC_KEYS", &key_file), ("TURNPIKE_CLUSTER_SECRET", SECRET)];
    let output = run(&directory, &["token", "--user", "u"], &no_tokens);
    assert!(String::from_utf8(output.stderr).unwrap().contains("where the private key is"));
}

#[test]
fn where_an_issuer_may_be() {
    let said = |url: &str, environment: &[(&str, &str)]| refused(&["--jwks-url", url], environment);
    for plain in ["http://login.example.com/", "http://10.0.0.1/", "http://127.0.0.1.example.com/"] {
        assert!(said(plain, &[]).contains("can be read and changed on its way"), "{plain}");
    }
    for private in
        ["https://10.0.0.1/keys", "https://[::1]/", "https://169.254.169.254/", "https://[::ffff:10.0.0.1]"]
    {
        assert!(said(private, &[]).contains("leads to an address that is not public"), "{private}");
        let allowed = [("TURNPIKE_JWKS_ALLOW_PRIVATE", "true"), ("TURNPIKE_JWKS_URL", private)];
        stdout(run(&Directory::new(), &["config", "check"], &allowed));
    }
    assert!(said("https://a:b@login.example.com/", &[]).contains("contains a name or a password"));
}

/// Each kind of fault of a key by its own words, before anything else is done.
#[test]
fn what_is_no_key_is_said_at_the_start() {
    let directory = Directory::new();
    let pem = Issuer::new().pem();
    let private = directory.write("private.pem", &pem.replace("PUBLIC", "PRIVATE"));
    for (value, problem) in [
        ("file:/nowhere/at/all".to_owned(), "names a file that cannot be read"),
        (format!("file:{}", private.display()), "holds a private key, and only the public one is needed"),
        ("a=AAAA".to_owned(), "is not one public key in PEM"),
        (pem.replace("MCow", "MCox"), "is no public key of RSA, P-256 or Ed25519"),
        (format!("{}={pem}", "x".repeat(129)), "has an id that is empty, too long or not to be printed"),
    ] {
        let said = refused(&[], &[("TURNPIKE_JWT_PUBLIC_KEYS", &value)]);
        assert!(said.contains("auth.public_keys") && said.contains(problem), "{said}");
    }
    let many = vec![pem; 5].join(",");
    assert!(
        refused(&[], &[("TURNPIKE_JWT_PUBLIC_KEYS", &many)]).contains("has 5 keys of EdDSA without an id")
    );
}
