//! Rows of `/proc/net/{tcp,tcp6,udp,udp6}`. Pure.
//!
//! Addresses are printed as the machine holds them: four bytes at a time, each four in the machine's order. Every
//! machine that runs Kubernetes in numbers is little-endian, and so are rows here.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// A row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    /// The Pod's end.
    pub(crate) local: SocketAddr,
    /// The other end.
    pub(crate) remote: SocketAddr,
    pub(crate) state: State,
    /// Bytes on their way to the other end.
    pub(crate) sending: u32,
    /// Bytes that nobody has read yet.
    pub(crate) received: u32,
}

/// Where a socket stands, as the kernel numbers it. UDP knows only the first and the seventh.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Established,
    SynSent,
    SynReceived,
    FinWait1,
    FinWait2,
    TimeWait,
    Close,
    CloseWait,
    LastAck,
    Listen,
    Closing,
    NewSynReceived,
}

impl State {
    const ALL: [Self; 12] = [
        Self::Established,
        Self::SynSent,
        Self::SynReceived,
        Self::FinWait1,
        Self::FinWait2,
        Self::TimeWait,
        Self::Close,
        Self::CloseWait,
        Self::LastAck,
        Self::Listen,
        Self::Closing,
        Self::NewSynReceived,
    ];

    /// The kernel counts from one.
    fn from_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number.checked_sub(1)?)).copied()
    }
}

/// Everything that was printed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tables {
    pub(crate) tcp: Vec<Row>,
    pub(crate) udp: Vec<Row>,
    /// The text broke off: there may be more.
    pub(crate) is_cut: bool,
}

/// Why a text is no table of sockets.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Error {
    /// Something else was printed, or nothing. A kernel without IPv6 has one table less, but never this one.
    #[error("there is no table of TCP sockets")]
    NoTable,
    /// A row that is none.
    #[error("line {line} is no socket")]
    NoRow {
        /// Counted from one.
        line: usize,
    },
}

impl Tables {
    /// Reads what `cat` printed of any of the four files, in any order. A last line without an end is left out: it is
    /// there where the text was cut.
    pub(crate) fn parse(text: &str) -> Result<Self, Error> {
        let (whole, rest) = text.rsplit_once('\n').unwrap_or(("", text));
        let mut tables = Self { is_cut: !rest.is_empty(), ..Self::default() };
        let (mut is_udp, mut has_tcp) = (false, false);
        for (index, line) in whole.lines().enumerate() {
            if line.contains("local_address") {
                // Only the tables of datagrams count what was dropped, and only those of IPv6 have room for whole words.
                is_udp = line.contains("drops");
                has_tcp |= !is_udp && line.contains("rem_address");
            } else if !line.trim().is_empty() {
                let row = Row::parse(line).ok_or(Error::NoRow { line: index + 1 })?;
                if is_udp { &mut tables.udp } else { &mut tables.tcp }.push(row);
            }
        }
        if has_tcp { Ok(tables) } else { Err(Error::NoTable) }
    }
}

impl Row {
    /// `0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 …`
    fn parse(line: &str) -> Option<Self> {
        let mut fields = line.split_ascii_whitespace();
        fields.next()?.strip_suffix(':')?;
        let local = address(fields.next()?)?;
        let remote = address(fields.next()?)?;
        let state = State::from_number(hex(fields.next()?, 2).and_then(|number| u8::try_from(number).ok())?)?;
        let (sending, received) = fields.next()?.split_once(':')?;
        Some(Self { local, remote, state, sending: hex(sending, 8)?, received: hex(received, 8)? })
    }
}

fn address(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.split_once(':')?;
    let port = u16::try_from(hex(port, 4)?).ok()?;
    let word = |at: usize| hex(ip.get(at..at + 8)?, 8).map(u32::to_le_bytes);
    let ip = match ip.len() {
        8 => IpAddr::from(word(0)?),
        32 => {
            let mut octets = [0; 16];
            for (part, at) in octets.chunks_exact_mut(4).zip([0, 8, 16, 24]) {
                part.copy_from_slice(&word(at)?);
            }
            // A socket that takes both kinds has IPv4 ends in the table of IPv6.
            Ipv6Addr::from(octets).to_canonical()
        }
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

/// Exactly so many hexadecimal digits.
fn hex(text: &str, digits: usize) -> Option<u32> {
    let all = text.len() == digits && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if all { u32::from_str_radix(text, 16).ok() } else { None }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use proptest::prelude::*;

    use super::*;

    const TCP: &str =
        "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n";
    const TCP6: &str = "  sl  local_address                         remote_address                        st tx_queue \
                        rx_queue tr tm->when retrnsmt   uid  timeout inode\n";
    const UDP: &str = "   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode \
                       ref pointer drops\n";

    /// As the kernel prints it.
    fn print(slot: usize, row: &Row) -> String {
        let end = |end: SocketAddr| {
            let octets = match end.ip() {
                IpAddr::V4(ip) => ip.octets().to_vec(),
                IpAddr::V6(ip) => ip.octets().to_vec(),
            };
            let mut text = String::new();
            for word in octets.chunks_exact(4) {
                word.iter().rev().for_each(|byte| write!(text, "{byte:02X}").unwrap());
            }
            format!("{text}:{:04X}", end.port())
        };
        let state = State::ALL.iter().position(|state| *state == row.state).unwrap() + 1;
        format!(
            "{slot:>4}: {} {} {state:02X} {:08X}:{:08X} 00:00000000 00000000     0        0 12345 1 0000000000000000 20 4 24 10 -1\n",
            end(row.local),
            end(row.remote),
            row.sending,
            row.received
        )
    }

    #[test]
    fn rows_are_read_as_kernels_print_them() {
        let text = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 21731 1 0000000000000000 100 0 0 10 0
   1: 0B0B0A0A:1F90 2101A8C0:D6A2 01 0000001C:00000003 01:00000014 00000000     0        0 21732 2 0000000000000000 20 4 30 10 -1
  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000000000000000000001000000:0016 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1 0
   1: B80D0120000000000000000001000000:1F90 B80D0120000000000000000002000000:C000 01 00000000:00000000 00:00000000 00000000     0        0 1 1 0
   2: 0000000000000000FFFF00000B0B0A0A:1F90 0000000000000000FFFF00002101A8C0:C001 08 00000000:00000000 00:00000000 00000000     0        0 1 1 0
   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops
  12: 00000000:0035 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 9 2 0000000000000000 0
";
        let tables = Tables::parse(text).unwrap();
        let row = |local: &str, remote: &str, state, sending, received| Row {
            local: local.parse().unwrap(),
            remote: remote.parse().unwrap(),
            state,
            sending,
            received,
        };
        let tcp = [
            row("0.0.0.0:8080", "0.0.0.0:0", State::Listen, 0, 0),
            row("10.10.11.11:8080", "192.168.1.33:54946", State::Established, 28, 3),
            row("[::1]:22", "[::]:0", State::Listen, 0, 0),
            row("[2001:db8::1]:8080", "[2001:db8::2]:49152", State::Established, 0, 0),
            row("10.10.11.11:8080", "192.168.1.33:49153", State::CloseWait, 0, 0),
        ];
        assert_eq!(tables.tcp, tcp);
        assert_eq!(tables.udp, [row("0.0.0.0:53", "0.0.0.0:0", State::Close, 0, 0)]);
    }

    #[test]
    fn what_is_no_table_is_not_taken_for_an_empty_one() {
        let no_row = |line| Err(Error::NoRow { line });
        for (text, expected) in [
            (String::new(), Err(Error::NoTable)),
            ("hello\n".to_owned(), no_row(1)),
            ("cat: /proc/net/tcp: Permission denied\n".to_owned(), no_row(1)),
            (UDP.to_owned(), Err(Error::NoTable)),
            (TCP6.to_owned(), Err(Error::NoTable)),
            (TCP.to_owned(), Ok(Tables::default())),
            (format!("{TCP}{TCP6}\n"), Ok(Tables::default())),
            (format!("{TCP}   0: 0000000:1F90 00000000:0000 0A 00000000:00000000\n"), no_row(2)),
            (format!("{TCP}   0: 00000000:1F90 00000000:0000 0D 00000000:00000000\n"), no_row(2)),
            (format!("{TCP}   0: 00000000:1F90 00000000:0000 00 00000000:00000000\n"), no_row(2)),
            (format!("{TCP}   0: 00000000:1F90 00000000:0000 0A 0:0\n"), no_row(2)),
            (format!("{TCP}   0: +0000000:1F90 00000000:0000 0A 00000000:00000000\n"), no_row(2)),
            // Cut in the middle of a row.
            (format!("{TCP}   0: 00000000:1F90 0000"), Ok(Tables { is_cut: true, ..Tables::default() })),
            (TCP.trim_end().to_owned(), Err(Error::NoTable)),
        ] {
            assert_eq!(Tables::parse(&text), expected, "{text:?}");
        }
    }

    fn end() -> impl Strategy<Value = SocketAddr> {
        let v4 = any::<[u8; 4]>().prop_map(IpAddr::from);
        let v6 = any::<[u8; 16]>().prop_map(|octets| Ipv6Addr::from(octets).to_canonical());
        (prop_oneof![v4, v6], any::<u16>()).prop_map(|(ip, port)| SocketAddr::new(ip, port))
    }

    prop_compose! {
        fn row()(
            local in end(),
            remote in end(),
            state in proptest::sample::select(&State::ALL[..]),
            sending: u32,
            received: u32,
        ) -> Row {
            Row { local, remote, state, sending, received }
        }
    }

    proptest! {
        #[test]
        fn what_a_kernel_prints_is_read_back(
            tcp in proptest::collection::vec(row(), 0..20),
            udp in proptest::collection::vec(row(), 0..20),
        ) {
            let rows = |rows: &[Row]| rows.iter().enumerate().map(|(slot, row)| print(slot, row)).collect::<String>();
            let text = format!("{TCP}{}{UDP}{}", rows(&tcp), rows(&udp));
            prop_assert_eq!(Tables::parse(&text).unwrap(), Tables { tcp, udp, is_cut: false });
        }

        #[test]
        fn a_table_that_breaks_off_in_a_line_says_so(
            tcp in proptest::collection::vec(row(), 1..9),
            at in any::<proptest::sample::Index>(),
        ) {
            let rows: String = tcp.iter().enumerate().map(|(slot, row)| print(slot, row)).collect();
            let text = format!("{TCP}{rows}");
            let part = &text[..=at.index(text.len())];
            match Tables::parse(part) {
                Ok(tables) => {
                    prop_assert_eq!(tables.is_cut, !part.ends_with('\n'));
                    prop_assert!(tcp.starts_with(&tables.tcp), "what was printed before counts");
                }
                Err(error) => prop_assert_eq!(error, Error::NoTable),
            }
        }

        #[test]
        fn nothing_that_is_printed_panics(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let text = String::from_utf8_lossy(&bytes);
            let _ = Tables::parse(&text);
            let _ = Tables::parse(&format!("{TCP}{text}\n"));
            let _ = Row::parse(&text);
        }

        #[test]
        fn an_address_of_any_shape_does_not_panic(text in "[0-9A-Fé]{0,40}:[0-9A-Fé]{0,6}") {
            let _ = address(&text);
        }
    }
}
