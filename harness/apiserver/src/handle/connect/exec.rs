//! Commands in containers.

use http::StatusCode;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::channel::{self, Channel, Received};
use super::{authorize_creation, container_named, container_ref, gateway};
use crate::gateway::{Exec, Output, Running, Unreachable};
use crate::handle::{Call, Reply};
use crate::status::ApiError;

/// The streams, by the byte that names them.
const STDIN: u8 = 0;
const STDOUT: u8 = 1;
const STDERR: u8 = 2;
const STATUS: u8 = 3;

/// Pieces of output that may wait for the client.
const OUTPUT_WAITING_MAX: usize = 16;

/// Which streams the client wants.
#[derive(Clone, Copy, Debug)]
struct Streams {
    input: bool,
    out: bool,
    err: bool,
    terminal: bool,
}

/// Starts a command and turns the connection into its streams.
pub(super) fn exec(call: &Call) -> Result<Reply, ApiError> {
    authorize_creation(call)?;
    let pod = call.store().get(&call.collection(), &call.key()).ok_or_else(|| call.not_found())?;
    let pod = &pod.value;
    let streams = streams(call);
    if !streams.input && !streams.out && !streams.err {
        return Err(ApiError::bad_request("you must specify at least 1 of stdin, stdout, stderr"));
    }
    let command = call.query.all("command");
    if command.is_empty() {
        return Err(ApiError::bad_request("you must specify at least 1 command for the container"));
    }
    let within = container_ref(pod, &exec_container(call, pod)?);
    if within.node.is_empty() {
        return Err(ApiError::bad_request(format!("pod {} does not have a host assigned", within.pod)));
    }
    if matches!(pod["status"]["phase"].as_str(), Some("Succeeded" | "Failed")) {
        let phase = pod["status"]["phase"].as_str().unwrap_or_default();
        let why = format!("cannot exec into a container in a completed pod; current phase is {phase}");
        return Err(ApiError::bad_request(why));
    }
    let handshake = channel::handshake(call)?;
    let (input, reads) = mpsc::unbounded_channel();
    let (prints, output) = mpsc::channel(OUTPUT_WAITING_MAX);
    let exec = Exec { command: command.clone(), input: reads, output: prints };
    let running = gateway(call, &within.node)?
        .exec(&within, exec)
        .map_err(|why| ApiError::internal(&format!("unable to upgrade connection: {why}")))?;
    let (response, opened) = handshake.accept();
    let closing = call.server.0.closing.clone();
    tokio::spawn(async move {
        let Some(channel) = opened.await else { return };
        let session = converse(channel, running, input, output, streams, &command);
        tokio::select! {
            () = session => {}
            () = closing.cancelled() => {}
        }
    });
    Ok(Reply::Raw(response))
}

fn streams(call: &Call) -> Streams {
    let switch = |name: &str| call.query.text(name).is_some_and(|value| !matches!(value, "false" | "0"));
    let terminal = switch("tty");
    // A terminal has one screen.
    Streams { input: switch("stdin"), out: switch("stdout"), err: switch("stderr") && !terminal, terminal }
}

/// The container that is meant: the one that an annotation or the order makes the first, unless the request names one.
fn exec_container(call: &Call, pod: &Value) -> Result<String, ApiError> {
    let name = call.target.name.as_str();
    let chosen = call.query.text("container");
    let container = match chosen {
        Some(container) => container_named(pod, container),
        None => pod["spec"]["containers"][0]["name"].as_str().map(str::to_owned),
    };
    container.ok_or_else(|| {
        ApiError::bad_request(format!("container {} is not valid for pod {name}", chosen.unwrap_or_default()))
    })
}

/// Carries bytes to and fro until the command has ended, and says how it did.
async fn converse(
    mut channel: Channel,
    mut running: Running,
    input: mpsc::UnboundedSender<bytes::Bytes>,
    mut output: mpsc::Receiver<Output>,
    streams: Streams,
    command: &[String],
) {
    let mut input = streams.input.then_some(input);
    let mut ended = None;
    // Tells the client that the connection stands.
    let first = if streams.out { STDOUT } else { STDERR };
    if (streams.out || streams.err) && !channel.send(first, b"").await {
        return;
    }
    loop {
        tokio::select! {
            biased;
            piece = output.recv() => match piece {
                Some(piece) => {
                    if !print(&mut channel, streams, piece).await {
                        return;
                    }
                }
                // Whoever prints no more has ended, or will.
                None => break,
            },
            end = &mut running, if ended.is_none() => ended = Some(end),
            received = channel.receive() => match received {
                Some(Received::Data(STDIN, bytes)) => {
                    // A command that reads no more loses what it is sent.
                    let _ = input.as_ref().is_some_and(|input| input.send(bytes).is_err());
                }
                Some(Received::End(STDIN)) => input = None,
                Some(_) => {}
                // Nobody waits for the command any more.
                None => return,
            },
        }
    }
    let end = match ended {
        Some(end) => end,
        None => running.await,
    };
    if channel.send(STATUS, status(&end, command).to_string().as_bytes()).await {
        channel.close().await;
    }
}

async fn print(channel: &mut Channel, streams: Streams, piece: Output) -> bool {
    let (stream, wanted, bytes) = match piece {
        Output::Out(bytes) => (STDOUT, streams.out, bytes),
        Output::Err(bytes) if streams.terminal => (STDOUT, streams.out, bytes),
        Output::Err(bytes) => (STDERR, streams.err, bytes),
    };
    !wanted || channel.send(stream, &bytes).await
}

/// How a command ended, as clients read it.
fn status(end: &Result<i32, Unreachable>, command: &[String]) -> Value {
    match end {
        Ok(0) => json!({"metadata": {}, "status": "Success"}),
        Ok(code) => {
            let what = format!("error executing command [{}], exit code {code}", command.join(" "));
            json!({
                "metadata": {}, "status": "Failure", "reason": "NonZeroExitCode",
                "message": format!("command terminated with non-zero exit code: {what}"),
                "details": {"causes": [{"reason": "ExitCode", "message": code.to_string()}]},
            })
        }
        Err(why) => {
            let why = format!("error executing command in container: {why}");
            let mut status = ApiError::internal(&why).to_status();
            status["code"] = StatusCode::INTERNAL_SERVER_ERROR.as_u16().into();
            status
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_learns_the_exit_code_of_its_command() {
        let command = ["cat".to_owned(), "/x".to_owned()];
        assert_eq!(status(&Ok(0), &command)["status"], "Success");
        let failed = status(&Ok(3), &command);
        assert_eq!(failed["reason"], "NonZeroExitCode");
        assert_eq!(failed["details"]["causes"][0], json!({"reason": "ExitCode", "message": "3"}));
        let missing = status(&Err(Unreachable::NoProgram("sh".to_owned())), &command);
        assert_eq!(missing["reason"], "InternalError");
        assert!(
            missing["message"].as_str().is_some_and(|text| text.contains("executable file not found")),
            "{missing}"
        );
    }
}
