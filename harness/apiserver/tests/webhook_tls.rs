//! Webhooks behind URLs: TLS to loopback, trusted by the authorities of the configuration alone.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{Request, header};
use http_body_util::{BodyExt, Full};
use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use serde_json::{Value, json};
use slipway_apiserver::service::{ApiServer, Config, User};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt;

/// A certificate for loopback that is its own authority, as people make them with one command.
fn self_signed() -> (String, ServerConfig) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let certificate = params.self_signed(&key).unwrap();
    let private = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_no_client_auth().with_single_cert(vec![certificate.der().clone()], private).unwrap();
    (STANDARD.encode(certificate.pem()), config)
}

/// Lets every request pass, with a warning that says so.
async fn serve(listener: TcpListener, config: ServerConfig) {
    let acceptor = TlsAcceptor::from(Arc::new(config));
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        // Clients that do not trust the certificate hang up.
        let Ok(mut stream) = acceptor.accept(stream).await else { continue };
        let mut text = String::new();
        let uid = loop {
            let mut piece = [0; 4096];
            let read = stream.read(&mut piece).await.unwrap();
            text.push_str(std::str::from_utf8(&piece[..read]).unwrap());
            let body = text.split_once("\r\n\r\n").and_then(|(_, body)| serde_json::from_str::<Value>(body).ok());
            if let Some(body) = body {
                break body["request"]["uid"].clone();
            }
        };
        let response = json!({"uid": uid, "allowed": true, "warnings": ["asked over TLS"]});
        let review = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response});
        let review = review.to_string();
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", review.len());
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(review.as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
    }
}

async fn send(server: &ApiServer, method: &str, path: &str, body: &Value) -> (u16, Option<String>, Value) {
    let request = Request::builder().method(method).uri(path).body(Full::from(body.to_string())).unwrap();
    let response = server.as_user(User::admin()).oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let bytes = body.collect().await.unwrap().to_bytes();
    let warning = parts.headers.get(header::WARNING).map(|w| w.to_str().unwrap().to_owned());
    (parts.status.as_u16(), warning, serde_json::from_slice(&bytes).unwrap())
}

const CONFIGURATIONS: &str = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations";

#[tokio::test]
async fn a_webhook_behind_a_url_is_trusted_by_its_bundle_and_by_nothing_else() {
    let (bundle, config) = self_signed();
    let (stranger, _) = self_signed();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    let serving = tokio::spawn(serve(listener, config));
    let server = ApiServer::new(Config::default());
    let unknown = "tls: failed to verify certificate: x509: certificate signed by unknown authority";
    for (name, bundle, why) in
        [("own", bundle, None), ("stranger", stranger, Some(unknown)), ("none", String::new(), Some(unknown))]
    {
        let hook = json!({
            "name": "w.example.com", "sideEffects": "None", "admissionReviewVersions": ["v1"],
            "clientConfig": {"url": url, "caBundle": bundle},
            "rules": [{"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"]}],
        });
        let configuration = json!({"metadata": {"name": name}, "webhooks": [hook]});
        let (status, _, made) = send(&server, "POST", CONFIGURATIONS, &configuration).await;
        assert_eq!(status, 201, "{made}");
        let map = json!({"metadata": {"name": name}});
        let (status, warning, body) = send(&server, "POST", "/api/v1/namespaces/default/configmaps", &map).await;
        match why {
            None => assert_eq!((status, warning.as_deref()), (201, Some("299 - \"asked over TLS\""))),
            Some(why) => {
                let message = body["message"].as_str().unwrap();
                assert_eq!(status, 500);
                assert!(message.ends_with(&format!("Post \"{url}/?timeout=10s\": {why}")), "{message}");
            }
        }
        send(&server, "DELETE", &format!("{CONFIGURATIONS}/{name}"), &Value::Null).await;
    }
    serving.abort();
}
