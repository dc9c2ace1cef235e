use std::sync::Arc;

use quinn::crypto::rustls::QuicClientConfig;
use quinn::{ClientConfig, Connection, ConnectionError, Endpoint};

use super::house::{BROKEN, Node, SECRET, live, until};
use crate::link::trust::{Trust, name_of};
use crate::link::{LinkTarget, NotAttached, transport};

/// Somebody who speaks QUIC, with what he has as his proof.
pub(super) async fn dial(to: LinkTarget, tls: rustls::ClientConfig) -> Result<Connection, ConnectionError> {
    let endpoint = Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap();
    let mut config = ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls).unwrap()));
    config.transport_config(Arc::new(transport::transport()));
    let connection = endpoint.connect_with(config, to.address, &name_of(to.incarnation)).unwrap().await?;
    // The client is done before the server has looked at its certificate: only when something comes back is it in.
    let mut stream = connection.open_bi().await?;
    stream.0.write_all(&[0, 0, 0, 1, 99]).await.map_err(|_| connection.close_reason().unwrap())?;
    let mut byte = [0];
    match tokio::time::timeout(BROKEN, stream.1.read(&mut byte)).await.expect("it is let in or not") {
        Err(quinn::ReadError::ConnectionLost(reason)) => Err(reason),
        _ => Ok(connection),
    }
}

#[tokio::test]
async fn only_relays_of_this_cluster_link() {
    let (one, foreign) = (Node::start(1), Node::with(2, [8; 32]));
    assert_eq!(foreign.links.attach(&live(), one.target()).await, Err(NotAttached::Unreachable));
    assert_eq!(one.links.attach(&live(), foreign.target()).await, Err(NotAttached::Unreachable));
    // The relay that was meant is not there any more; another one is.
    let mistaken = LinkTarget { incarnation: 3, ..one.target() };
    let two = Node::start(2);
    assert_eq!(two.links.attach(&live(), mistaken).await, Err(NotAttached::Unreachable));
    assert_eq!(one.metric("connections"), 0);
    two.links.attach(&live(), one.target()).await.unwrap();
    until(|| one.metric("refused_total") >= 1).await;
    assert_eq!(one.metric("connections"), 1);
}

#[tokio::test]
async fn without_a_certificate_nobody_is_let_in() {
    let one = Node::start(1);
    let trust = Trust::new(&SECRET, 2).unwrap();
    dial(one.target(), trust.client.clone()).await.expect("with one he is");
    let roots = {
        // The authority is no secret; its key is.
        let mut roots = rustls::RootCertStore::empty();
        roots.add(crate::link::trust::authority_certificate(&SECRET)).unwrap();
        roots
    };
    let mut tls = rustls::ClientConfig::builder_with_provider(trust.client.crypto_provider().clone())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    tls.alpn_protocols = trust.client.alpn_protocols.clone();
    let refused = dial(one.target(), tls).await.expect_err("he has none");
    assert!(refused.to_string().contains("certificate"), "{refused}");

    let mut other = trust.client.clone();
    other.alpn_protocols = vec![b"h3".to_vec()];
    let refused = dial(one.target(), other).await.expect_err("he speaks something else");
    assert!(refused.to_string().contains("protocol"), "{refused}");
    until(|| one.metric("refused_total") >= 2).await;
}

/// Somebody who has a certificate, but of the relay itself.
#[tokio::test]
async fn nobody_is_this_relay_but_itself() {
    let one = Node::start(1);
    let own = Trust::new(&SECRET, 1).unwrap();
    assert!(dial(one.target(), own.client).await.is_err());
    assert_eq!(one.metric("connections"), 0);
}
