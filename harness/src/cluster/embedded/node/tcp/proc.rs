//! `/proc/net/tcp`, `tcp6`, `udp` and `udp6`, as the kernel writes them. Pure.

use std::fmt::Write;
use std::net::{IpAddr, SocketAddr};

use super::{Kind, Socket, State};

const TCP_HEADER: &str =
    "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode";
const TCP6_HEADER: &str = "  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode";
const UDP6_HEADER: &str = "  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops";
const UDP_HEADER: &str = "   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops";

/// Inodes of sockets begin here.
const FIRST_INODE: u64 = 20_000;

/// A file below `/proc/net`; none for those that are not kept.
pub fn file(name: &str, sockets: &[(u64, Socket)]) -> Option<String> {
    match name {
        "tcp" => Some(table(TCP_HEADER, sockets, Kind::Tcp)),
        "tcp6" => Some(table(TCP6_HEADER, sockets, Kind::Tcp6)),
        "udp" => Some(table(UDP_HEADER, sockets, Kind::Udp)),
        // No program here speaks UDP over IPv6.
        "udp6" => Some(format!("{UDP6_HEADER}\n")),
        _ => None,
    }
}

fn table(header: &str, sockets: &[(u64, Socket)], kind: Kind) -> String {
    let mut text = format!("{header}\n");
    // What the kernel tells beyond the inode is another thing for each protocol.
    let rest = if kind == Kind::Udp { "2 0000000000000000 0" } else { "1 0000000000000000 100 0 0 10 0" };
    for (at, (id, socket)) in sockets.iter().filter(|(_, socket)| socket.kind == kind).enumerate() {
        let (local, remote) = (ends(socket.local, socket), ends(socket.remote, socket));
        let (state, inode) = (socket.state as u8, FIRST_INODE + id);
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "{at:4}: {local} {remote} {state:02X} 00000000:00000000 00:00000000 00000000     0        0 {inode} {rest}"
        );
    }
    text
}

fn ends(address: SocketAddr, socket: &Socket) -> String {
    // A listener waits on every address.
    let any = socket.state != State::Established;
    let octets = match address.ip() {
        IpAddr::V4(ip) if !any => u32::from_ne_bytes(ip.octets()),
        _ => 0,
    };
    let port = address.port();
    if socket.kind != Kind::Tcp6 {
        return format!("{octets:08X}:{port:04X}");
    }
    // An IPv4 client of an IPv6 socket: `::ffff:a.b.c.d`, in four words of the machine's own order.
    let mapped = if any { 0 } else { u32::from_ne_bytes([0, 0, 0xff, 0xff]) };
    format!("0000000000000000{mapped:08X}{octets:08X}:{port:04X}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn socket(local: &str, remote: &str, state: State, kind: Kind) -> (u64, Socket) {
        let parse = |text: &str| text.parse().expect("an address");
        (1, Socket { local: parse(local), remote: parse(remote), state, kind })
    }

    #[test]
    fn sockets_are_written_as_the_kernel_writes_them() {
        let sockets = [
            socket("10.244.1.2:8080", "0.0.0.0:0", State::Listen, Kind::Tcp),
            socket("10.244.1.2:8080", "192.0.2.7:40000", State::Established, Kind::Tcp),
            socket("10.244.1.2:9090", "192.0.2.7:40001", State::Established, Kind::Tcp6),
            socket("10.244.1.2:443", "0.0.0.0:0", State::Unconnected, Kind::Udp),
            socket("10.244.1.2:443", "192.0.2.7:40002", State::Established, Kind::Udp),
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
        let udp = file("udp", &sockets).expect("kept");
        let lines: Vec<&str> = udp.lines().collect();
        assert!(lines[0].ends_with("drops"), "{udp}");
        assert!(lines[1].starts_with("   0: 00000000:01BB 00000000:0000 07 "), "{udp}");
        assert!(lines[2].starts_with("   1: 0201F40A:01BB 070200C0:9C42 01 "), "{udp}");
        assert_eq!(file("udp6", &sockets).expect("kept").lines().count(), 1);
        assert_eq!(file("unix", &sockets), None);
    }
}
