//! A Pod's log.

use bytes::Bytes;
use futures::{StreamExt, stream};
use http::StatusCode;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::connect::{container_named, container_ref};
use super::reply::response;
use super::{Call, Reply};
use crate::body::Body;
use crate::field::FieldError;
use crate::gateway::LogOptions;
use crate::status::ApiError;

/// A container's log, from the cluster that runs it. A server alone says what a server says whose kubelet cannot be
/// reached.
pub(super) fn read(call: &Call) -> Result<Reply, ApiError> {
    let pod = call.store().get(&call.collection(), &call.key()).ok_or_else(|| call.not_found())?;
    let container = log_container(call, &pod.value)?;
    let options = options(call)?;
    let from = container_ref(&pod.value, &container);
    if from.node.is_empty() {
        return Ok(Reply::Text(StatusCode::OK, String::new()));
    }
    let Some(gateway) = call.server.0.gateway.get() else {
        return Err(ApiError::internal(&format!(
            "no log of container {container} of pod {} can be read: the kubelet of node {} is not reachable from the \
             API server",
            from.pod, from.node
        )));
    };
    let log = gateway.log(&from, &options).map_err(|why| ApiError::bad_request(why.to_string()))?;
    // A server that closes ends what follows, as it ends watches.
    let closing = call.server.0.closing.clone();
    let log = log.take_until(async move { closing.cancelled().await });
    let log = match options.limit_bytes {
        Some(limit) => Body::stream(limited(log, limit)),
        None => Body::stream(log),
    };
    Ok(Reply::Raw(response(StatusCode::OK, "text/plain", log)))
}

/// The container whose log is meant: the only one, unless the request names one.
fn log_container(call: &Call, pod: &Value) -> Result<String, ApiError> {
    let name = call.target.name.as_str();
    let all: Vec<&str> = ["containers", "initContainers", "ephemeralContainers"]
        .iter()
        .flat_map(|list| pod["spec"][*list].as_array().into_iter().flatten())
        .filter_map(|container| container["name"].as_str())
        .collect();
    match (call.query.text("container"), all.as_slice()) {
        (Some(container), _) => container_named(pod, container)
            .ok_or_else(|| ApiError::bad_request(format!("container {container} is not valid for pod {name}"))),
        (None, [only]) => Ok((*only).to_owned()),
        (None, _) => {
            let why = format!("a container name must be specified for pod {name}, choose one of: [{}]", all.join(" "));
            Err(ApiError::bad_request(why))
        }
    }
}

fn options(call: &Call) -> Result<LogOptions, ApiError> {
    let (query, mut errors) = (&call.query, Vec::new());
    let switch = |name: &str| query.text(name).is_some_and(|value| !matches!(value, "false" | "0"));
    let mut size = |name: &'static str, least: i64| -> Result<Option<usize>, ApiError> {
        let Some(number) = query.text(name).and(query.number(name)?) else { return Ok(None) };
        if number < least {
            let why = if least == 0 { "must be greater than or equal to 0" } else { "must be greater than 0" };
            errors.push(FieldError::invalid(name, number, why));
        }
        Ok(usize::try_from(number).ok())
    };
    let (tail_lines, limit_bytes) = (size("tailLines", 0)?, size("limitBytes", 1)?);
    let seconds = size("sinceSeconds", 1)?;
    let given = match query.text("sinceTime") {
        Some(text) => Some(text.parse::<Timestamp>().map_err(|error| ApiError::bad_request(error.to_string()))?),
        None => None,
    };
    if seconds.is_some() && given.is_some() {
        errors.push(FieldError::forbidden("", "at most one of `sinceTime` or `sinceSeconds` may be specified"));
    }
    if !errors.is_empty() {
        return Err(ApiError::invalid("", "PodLogOptions", &call.target.name, &errors));
    }
    let ago = |seconds: usize| {
        let ago = SignedDuration::from_secs(i64::try_from(seconds).unwrap_or(i64::MAX));
        call.now().checked_sub(ago).unwrap_or(Timestamp::MIN)
    };
    Ok(LogOptions {
        previous: switch("previous"),
        follow: switch("follow"),
        timestamps: switch("timestamps"),
        since: given.or(seconds.map(ago)),
        tail_lines,
        limit_bytes,
    })
}

/// The first bytes of a stream.
fn limited(
    log: impl stream::Stream<Item = Bytes> + Send + 'static,
    limit: usize,
) -> impl stream::Stream<Item = Bytes> + Send + 'static {
    log.scan(limit, |left, piece| {
        let taken = piece.slice(..piece.len().min(*left));
        *left -= taken.len();
        std::future::ready((!taken.is_empty()).then_some(taken))
    })
}
