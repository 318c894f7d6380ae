//! Requests that are sent on to a port of a Pod, by the Pod's name or through a Service.

use std::net::IpAddr;

use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, Uri, header};
use http_body_util::Full;
use hyper_util::rt::TokioIo;
use serde_json::Value;

use super::gateway;
use crate::body::Body;
use crate::gateway::{Connection, Unreachable};
use crate::handle::{Call, Reply};
use crate::status::ApiError;
use crate::store::GroupResource;
use crate::upgrade::stream_of;

/// Headers that are between two neighbours, and those that say who the client is to this server.
const NOT_PASSED_ON: [HeaderName; 10] = [
    header::CONNECTION,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::AUTHORIZATION,
    header::HOST,
    header::CONTENT_LENGTH,
];

/// `[scheme:]name[:port]`, as proxies are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place<'a> {
    scheme: &'a str,
    name: &'a str,
    port: &'a str,
}

impl<'a> Place<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let parts: Vec<&str> = text.split(':').collect();
        let (scheme, name, port) = match parts.as_slice() {
            [name] => ("", *name, ""),
            [name, port] => ("", *name, *port),
            [scheme, name, port] => (*scheme, *name, *port),
            _ => return None,
        };
        (!name.is_empty() && matches!(scheme, "" | "http" | "https")).then_some(Self { scheme, name, port })
    }
}

/// Sends a request on to a Pod.
pub(super) async fn pod(call: &Call) -> Result<Reply, ApiError> {
    let place = place(call, "pod")?;
    let missing = || ApiError::not_found("", "pods", place.name);
    let pod = call.store().get(&call.collection(), &call.key_of(place.name)).ok_or_else(missing)?;
    let port = pod_port(&pod.value, place.port)
        .ok_or_else(|| ApiError::bad_request(format!("invalid pod request {:?}", call.target.name)))?;
    let address = pod.value["status"]["podIP"].as_str().and_then(|ip| ip.parse().ok());
    let Some(address) = address else { return Err(ApiError::internal("address not allowed")) };
    let node = pod.value["spec"]["nodeName"].as_str().unwrap_or_default();
    pass_on(call, node, address, port).await
}

/// The port that is meant: its number, its name, or without either the first that a container declares.
fn pod_port(pod: &Value, text: &str) -> Option<u16> {
    let containers = pod["spec"]["containers"].as_array()?;
    let mut ports = containers.iter().flat_map(|container| container["ports"].as_array().into_iter().flatten());
    let number = |port: &Value| u16::try_from(port["containerPort"].as_u64()?).ok();
    match text.parse() {
        Ok(port) => Some(port),
        Err(_) if text.is_empty() => Some(ports.next().and_then(number).unwrap_or(80)),
        Err(_) => ports.find(|port| port["name"] == text).and_then(number),
    }
}

/// Sends a request on to the first ready Pod of a Service.
pub(super) async fn service(call: &Call) -> Result<Reply, ApiError> {
    let place = place(call, "service")?;
    let missing = || ApiError::not_found("", "services", place.name);
    let service = call.store().get(&call.collection(), &call.key_of(place.name)).ok_or_else(missing)?;
    let port = service_port(&service.value, place.port).ok_or_else(|| {
        ApiError::service_unavailable(&format!("no service port {:?} found for service {:?}", place.port, place.name))
    })?;
    let nobody = || ApiError::service_unavailable(&format!("no endpoints available for service {:?}", place.name));
    let (node, address, port) = endpoint(call, place.name, &service.value, port).ok_or_else(nobody)?;
    pass_on(call, &node, address, port).await
}

/// A port of a Service by number or name; without either, the only one.
fn service_port<'a>(service: &'a Value, text: &str) -> Option<&'a Value> {
    let ports = service["spec"]["ports"].as_array()?;
    match ports.as_slice() {
        [only] if text.is_empty() => Some(only),
        all => all.iter().find(|port| {
            let number = port["port"].as_u64().map(|number| number.to_string());
            number.as_deref() == Some(text) || port["name"] == text && !text.is_empty()
        }),
    }
}

/// A ready endpoint of a Service's slices: its node, address and port.
fn endpoint(call: &Call, name: &str, service: &Value, port: &Value) -> Option<(String, IpAddr, u16)> {
    let slices = GroupResource::new("discovery.k8s.io", "endpointslices");
    let listed = call.store().list(&slices, Some(&call.target.namespace), None).ok()?;
    let port_name = port["name"].as_str().unwrap_or_default();
    let of_service = |slice: &Value| slice["metadata"]["labels"]["kubernetes.io/service-name"] == name;
    let mut slices = listed.objects.iter().map(|slice| &slice.value).filter(|slice| of_service(slice));
    let found = slices.find_map(|slice| {
        let ports = slice["ports"].as_array()?;
        let port = ports.iter().find(|port| port["name"].as_str().unwrap_or_default() == port_name)?;
        let port = u16::try_from(port["port"].as_u64()?).ok()?;
        let endpoints = slice["endpoints"].as_array()?;
        let ready = endpoints.iter().find(|endpoint| endpoint["conditions"]["ready"] != false)?;
        let node = ready["nodeName"].as_str().unwrap_or_default().to_owned();
        Some((node, ready["addresses"][0].as_str()?.parse().ok()?, port))
    });
    found.or_else(|| selected(call, service, port))
}

/// The same from the Pods themselves, for a cluster whose endpoints nobody keeps.
fn selected(call: &Call, service: &Value, port: &Value) -> Option<(String, IpAddr, u16)> {
    let selector = service["spec"]["selector"].as_object().filter(|selector| !selector.is_empty())?;
    let pods = call.store().list(&GroupResource::new("", "pods"), Some(&call.target.namespace), None).ok()?;
    let ready = |pod: &Value| {
        let conditions = pod["status"]["conditions"].as_array();
        conditions.into_iter().flatten().any(|c| c["type"] == "Ready" && c["status"] == "True")
    };
    let of_service = |pod: &Value| selector.iter().all(|(key, value)| pod["metadata"]["labels"][key] == *value);
    let pod = pods.objects.iter().map(|pod| &pod.value).find(|pod| of_service(pod) && ready(pod))?;
    let target = &port["targetPort"];
    let number = match target.as_str() {
        Some(name) => pod_port(pod, name)?,
        None => u16::try_from(target.as_u64().or(port["port"].as_u64())?).ok()?,
    };
    let node = pod["spec"]["nodeName"].as_str().unwrap_or_default().to_owned();
    Some((node, pod["status"]["podIP"].as_str()?.parse().ok()?, number))
}

fn place<'a>(call: &'a Call, kind: &str) -> Result<Place<'a>, ApiError> {
    let name = call.target.name.as_str();
    let place = Place::parse(name).ok_or_else(|| ApiError::bad_request(format!("invalid {kind} request {name:?}")))?;
    if place.scheme == "https" {
        let why = format!("the embedded API server does not proxy to HTTPS, which {name:?} asks for");
        return Err(ApiError::bad_request(why));
    }
    Ok(place)
}

/// Sends the request to a program and its answer back.
async fn pass_on(call: &Call, node: &str, address: IpAddr, port: u16) -> Result<Reply, ApiError> {
    let failed =
        |why: &dyn std::fmt::Display| ApiError::service_unavailable(&format!("error trying to reach service: {why}"));
    let connection = gateway(call, node)?.dial(address, port).await.map_err(|why: Unreachable| failed(&why))?;
    let request = request(call, address, port).map_err(|why| failed(&why))?;
    let response = send(connection, request).await.map_err(|why| failed(&why))?;
    Ok(Reply::Raw(response))
}

async fn send(connection: Box<dyn Connection>, request: Request<Full<Bytes>>) -> Result<Response<Body>, hyper::Error> {
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(connection)).await?;
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "a proxied connection broke off");
        }
    });
    let mut response = sender.send_request(request).await?.map(stream_of);
    response.headers_mut().remove(header::TRANSFER_ENCODING);
    response.headers_mut().remove(header::CONNECTION);
    Ok(response)
}

fn request(call: &Call, address: IpAddr, port: u16) -> Result<Request<Full<Bytes>>, http::Error> {
    let mut headers: HeaderMap = call.headers.clone();
    for name in NOT_PASSED_ON {
        headers.remove(name);
    }
    headers.insert(header::HOST, HeaderValue::try_from(format!("{address}:{port}"))?);
    // One request a connection.
    headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    let mut request = Request::new(Full::new(call.body.clone()));
    *request.method_mut() = call.wire.method.clone();
    *request.uri_mut() = tail(&call.wire.uri)?;
    *request.headers_mut() = headers;
    Ok(request)
}

/// What follows `…/proxy` in a path, with the query.
fn tail(uri: &Uri) -> Result<Uri, http::Error> {
    let path = uri.path();
    // `/api/v1/namespaces/NAMESPACE/RESOURCE/NAME/proxy` or `/api/v1/RESOURCE/NAME/proxy`: everything may be called
    // `proxy`, so that only the place tells.
    let parts = if path.starts_with("/api/v1/namespaces/") { 7 } else { 5 };
    let from = path.match_indices('/').nth(parts).map_or(path.len(), |(at, _)| at);
    let rest = if path[from..].is_empty() { "/" } else { &path[from..] };
    let text = match uri.query() {
        Some(query) => format!("{rest}?{query}"),
        None => rest.to_owned(),
    };
    Ok(text.parse::<PathAndQuery>()?.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxied_place_is_a_name_with_a_scheme_and_a_port_as_far_as_given() {
        let place = |scheme, name, port| Some(Place { scheme, name, port });
        let cases = [
            ("web-0", place("", "web-0", "")),
            ("web-0:8080", place("", "web-0", "8080")),
            ("http:web-0:metrics", place("http", "web-0", "metrics")),
            ("https:web-0:", place("https", "web-0", "")),
            ("ftp:web-0:21", None),
            (":80", None),
            ("a:b:c:d", None),
        ];
        for (text, expected) in cases {
            assert_eq!(Place::parse(text), expected, "{text}");
        }
    }

    #[test]
    fn the_program_sees_the_path_behind_the_proxy_with_the_query() {
        let cases = [
            ("/api/v1/namespaces/default/pods/p:80/proxy", "/"),
            ("/api/v1/namespaces/default/pods/p:80/proxy/", "/"),
            ("/api/v1/namespaces/default/pods/p:80/proxy/stats?filter=a%2Fb", "/stats?filter=a%2Fb"),
            ("/api/v1/namespaces/proxy/pods/proxy/proxy/proxy/x", "/proxy/x"),
        ];
        for (path, expected) in cases {
            let uri: Uri = path.parse().expect("a path");
            assert_eq!(tail(&uri).expect("a path").to_string(), expected, "{path}");
        }
    }
}
