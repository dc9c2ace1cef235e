//! TLS in front of the server, and what is known of its CPU and memory.

use std::net::SocketAddr;
use std::sync::Arc;

use rustls::{ServerConfig, pki_types::PrivateKeyDer};
use tokio::{
    net::{TcpListener, TcpStream},
    runtime::Runtime,
};
use tokio_rustls::TlsAcceptor;
use turnpike_lab::{Directory, Node};

use crate::program::run;

const CHAT: &str = "users = 6\nrun_time_s = 2\nobjectives = ['lost=0', 'unanswered=0', 'errors=0']\n\
                    [rooms]\nmembers = 3\n[messages]\nevery_ms = 200\n[api]\nusers = 2\nevery_ms = 500\n";

/// Ends TLS and passes the bytes on. Its certificate is for `localhost`; the PEM of it.
fn edge(server: SocketAddr) -> (Runtime, u16, String) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_no_client_auth().with_single_cert(vec![made.cert.der().clone()], key).unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let port = listener.local_addr().unwrap().port();
    runtime.spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(mut client) = acceptor.accept(stream).await else { return };
                let Ok(mut upstream) = TcpStream::connect(server).await else { return };
                let _ = tokio::io::copy_bidirectional(&mut client, &mut upstream).await;
            });
        }
    });
    (runtime, port, made.cert.pem())
}

#[test]
fn a_server_behind_tls_proves_who_it_is() {
    let node = Node::start(&[]).unwrap();
    let (_runtime, port, certificate) = edge(node.gateway);
    let directory = Directory::new("tls").unwrap();
    let authority = directory.path().join("ca.pem");
    std::fs::write(&authority, certificate).unwrap();
    let host = format!("https://localhost:{port}");
    let trusted = run(&host, CHAT, &["--ca", authority.to_str().unwrap()]);
    trusted.assert_held();
    assert_eq!(trusted.account("delivered"), trusted.account("sent") * 3, "{}", trusted.text);
    assert!(trusted.count("publish") >= 6, "{}", trusted.text);
    let stranger = run(&host, CHAT, &[]);
    assert_eq!(stranger.code, 1, "{}", stranger.text);
    assert!(stranger.text.contains("TLS: invalid peer certificate"), "{}", stranger.text);
}

#[test]
fn the_server_is_watched_by_its_metrics_and_by_its_process() {
    let node = Node::start(&[]).unwrap();
    let (metrics, process) = (format!("http://{}", node.admin), node.id().to_string());
    for arguments in [["--metrics", &metrics], ["--pid", &process]] {
        let run = run(&node.url(), CHAT, &arguments);
        run.assert_held();
        let timeline = run.report["timeline"].as_array().unwrap();
        let known = timeline.iter().filter(|second| second["server_memory_bytes"].as_u64() > Some(1_000_000));
        assert!(known.count() >= 2, "{arguments:?}: {timeline:?}");
        assert!(
            timeline.iter().any(|second| second["server_cpu"].as_f64() > Some(0.0)),
            "{arguments:?}: {timeline:?}"
        );
        assert!(run.page.contains("Memory of the server"));
    }
    let far = run(&node.url(), CHAT, &["--metrics", "http://192.0.2.1:9"]);
    assert!(far.code == 64 && far.text.contains("--metrics"), "{}", far.text);
}
