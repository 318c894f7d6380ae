//! `/proc/net/tcp`, `tcp6`, `udp` and `udp6`, as the kernel writes them. Pure.

use std::fmt::Write;
use std::net::{IpAddr, SocketAddr};

use super::{Socket, State};

const TCP_HEADER: &str =
    "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode";
const TCP6_HEADER: &str = "  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode";
const UDP_HEADER: &str = "   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops";

/// Inodes of sockets begin here.
const FIRST_INODE: u64 = 20_000;

/// A file below `/proc/net`; none for those that are not kept.
pub fn file(name: &str, sockets: &[(u64, Socket)]) -> Option<String> {
    match name {
        "tcp" => Some(table(TCP_HEADER, sockets, false)),
        "tcp6" => Some(table(TCP6_HEADER, sockets, true)),
        // No program here speaks UDP.
        "udp" => Some(format!("{UDP_HEADER}\n")),
        "udp6" => Some(format!("{}\n", TCP6_HEADER.replace("  sl", "   sl"))),
        _ => None,
    }
}

fn table(header: &str, sockets: &[(u64, Socket)], v6: bool) -> String {
    let mut text = format!("{header}\n");
    for (at, (id, socket)) in sockets.iter().filter(|(_, socket)| socket.v6 == v6).enumerate() {
        let (local, remote) = (ends(socket.local, socket, v6), ends(socket.remote, socket, v6));
        let (state, inode) = (socket.state as u8, FIRST_INODE + id);
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "{at:4}: {local} {remote} {state:02X} 00000000:00000000 00:00000000 00000000     0        0 {inode} 1 \
             0000000000000000 100 0 0 10 0"
        );
    }
    text
}

fn ends(address: SocketAddr, socket: &Socket, v6: bool) -> String {
    // A listener waits on every address.
    let any = socket.state == State::Listen;
    let octets = match address.ip() {
        IpAddr::V4(ip) if !any => u32::from_ne_bytes(ip.octets()),
        _ => 0,
    };
    let port = address.port();
    if !v6 {
        return format!("{octets:08X}:{port:04X}");
    }
    // An IPv4 client of an IPv6 socket: `::ffff:a.b.c.d`, in four words of the machine's own order.
    let mapped = if any { 0 } else { u32::from_ne_bytes([0, 0, 0xff, 0xff]) };
    format!("0000000000000000{mapped:08X}{octets:08X}:{port:04X}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn socket(local: &str, remote: &str, state: State, v6: bool) -> (u64, Socket) {
        let parse = |text: &str| text.parse().expect("an address");
        (1, Socket { local: parse(local), remote: parse(remote), state, v6 })
    }

    #[test]
    fn sockets_are_written_as_the_kernel_writes_them() {
        let sockets = [
            socket("10.244.1.2:8080", "0.0.0.0:0", State::Listen, false),
            socket("10.244.1.2:8080", "192.0.2.7:40000", State::Established, false),
            socket("10.244.1.2:9090", "192.0.2.7:40001", State::Established, true),
        ];
        let tcp = file("tcp", &sockets).expect("kept");
        let lines: Vec<&str> = tcp.lines().collect();
        assert_eq!(lines.len(), 3, "{tcp}");
        assert!(lines[1].starts_with("   0: 00000000:1F90 00000000:0000 0A "), "{tcp}");
        assert!(lines[2].starts_with("   1: 0201F40A:1F90 070200C0:9C40 01 "), "{tcp}");
        let tcp6 = file("tcp6", &sockets).expect("kept");
        let line = tcp6.lines().nth(1).expect("a socket");
        let expected = "   0: 0000000000000000FFFF00000201F40A:2382 0000000000000000FFFF0000070200C0:9C41 01 ";
        assert!(line.starts_with(expected), "{tcp6}");
        assert_eq!(file("unix", &sockets), None);
    }
}
