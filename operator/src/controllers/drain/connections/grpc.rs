//! Streams of a gRPC server, as the interceptors count them that Go, Java, Python and Rust servers commonly use. Pure.
//!
//! A client sends many streams over one connection, and each of them is a user's; an open connection without a stream
//! costs nobody anything when it is cut, because the client makes another with its next call. So streams are what counts.

use super::promtext;

/// Calls that have begun, and calls that have ended, whichever way.
const BEGUN: &str = "grpc_server_started_total";
const ENDED: &str = "grpc_server_handled_total";

/// Streams under way. A server that was never called tells nothing, or that none has begun.
pub(super) fn streams(page: &str) -> Result<u64, promtext::Error> {
    let begun = promtext::sum(page, BEGUN, |_| true)?;
    // There is a sample for each way to end once the first call has ended that way.
    let ended = promtext::sum_or_zero(page, ENDED, |_| true)?;
    Ok(begun.saturating_sub(ended))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERVER: &str = r#"# TYPE grpc_server_handled_total counter
grpc_server_handled_total{grpc_code="OK",grpc_method="Get",grpc_type="unary"} 90
grpc_server_handled_total{grpc_code="Unavailable",grpc_method="Get",grpc_type="unary"} 8
# TYPE grpc_server_started_total counter
grpc_server_started_total{grpc_method="Get",grpc_type="unary"} 100
grpc_server_started_total{grpc_method="Watch",grpc_type="server_stream"} 3
"#;

    #[test]
    fn streams_are_what_has_begun_and_not_ended() {
        assert_eq!(streams(SERVER), Ok(5));
        assert_eq!(streams("grpc_server_started_total 0\n"), Ok(0));
        assert_eq!(streams("grpc_server_started_total 7\n"), Ok(7), "none has ended yet");
        assert_eq!(streams("grpc_server_started_total 7\ngrpc_server_handled_total 9\n"), Ok(0), "read a moment later");
    }

    #[test]
    fn a_server_that_does_not_count_is_not_an_idle_one() {
        for page in ["", "<html></html>\n", "grpc_server_handled_total 4\n", "grpc_client_started_total 4\n"] {
            assert!(matches!(streams(page), Err(promtext::Error::Missing { .. })), "{page}");
        }
        for page in ["grpc_server_started_total NaN\n", "grpc_server_started_total 1\ngrpc_server_handled_total NaN\n"]
        {
            assert!(matches!(streams(page), Err(promtext::Error::Uncountable { .. })), "{page}");
        }
    }
}
