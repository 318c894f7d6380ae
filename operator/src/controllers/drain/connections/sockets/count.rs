//! Which sockets are connections that an eviction would cut. Pure.
//!
//! A connection counts when somebody outside the Pod made it to a port that the Pod serves: one that it listens on, or
//! says that it does. Connections that the Pod makes itself (to its database, say) are its own business: it closes them
//! when it is done.

use std::collections::BTreeSet;

use super::table::{Row, State, Tables};

/// The Pod's ports.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ports {
    /// Ports that its containers declare. It serves them even when it listens no more, because it is about to stop.
    pub(crate) declared: BTreeSet<u16>,
    /// Ports whose connections do not count.
    pub(crate) ignored: BTreeSet<u16>,
    /// It shares the sockets of its node, so that only declared ports are known to be its own.
    pub(crate) host_network: bool,
}

impl Ports {
    fn served(&self, rows: &[Row], waits: State) -> BTreeSet<u16> {
        let mut served = self.declared.clone();
        if !self.host_network {
            let waiting = rows.iter().filter(|row| row.state == waits && !row.local.ip().is_loopback());
            served.extend(waiting.map(|row| row.local.port()));
        }
        served.retain(|port| !self.ignored.contains(port));
        served
    }
}

/// How many connections there are from outside the Pod.
pub(crate) fn connections(tables: &Tables, ports: &Ports) -> u64 {
    let tcp = ports.served(&tables.tcp, State::Listen);
    // A UDP socket without a fixed other end is one that serves; QUIC servers make one with, for each connection.
    let udp = ports.served(&tables.udp, State::Close);
    let counted = |rows: &[Row], served: &BTreeSet<u16>| {
        rows.iter().filter(|row| served.contains(&row.local.port()) && is_from_outside(row) && is_in_use(row)).count()
    };
    let count = counted(&tables.tcp, &tcp).saturating_add(counted(&tables.udp, &udp));
    u64::try_from(count).unwrap_or(u64::MAX)
}

/// Sidecars and probes within the Pod come from its loopback addresses, or from its own address to itself.
fn is_from_outside(row: &Row) -> bool {
    let (local, remote) = (row.local.ip(), row.remote.ip());
    !local.is_loopback() && !remote.is_loopback() && !remote.is_unspecified() && local != remote
}

/// Whether cutting it would cost somebody something.
fn is_in_use(row: &Row) -> bool {
    match row.state {
        State::Established | State::SynReceived | State::NewSynReceived => true,
        // One end has closed. What is still on its way must arrive; a socket that nobody closes must not hold the Pod.
        State::CloseWait | State::FinWait1 | State::Closing | State::LastAck => row.sending > 0,
        State::SynSent | State::FinWait2 | State::TimeWait | State::Close | State::Listen => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POD: &str = "10.1.2.3";

    fn row(local: &str, remote: &str, state: State) -> Row {
        Row { local: local.parse().unwrap(), remote: remote.parse().unwrap(), state, sending: 0, received: 0 }
    }

    fn listening(address: &str) -> Row {
        row(address, "0.0.0.0:0", State::Listen)
    }

    fn from_outside(port: u16, state: State) -> Row {
        row(&format!("{POD}:{port}"), "10.9.9.9:40000", state)
    }

    #[test]
    fn a_connection_counts_in_the_states_in_which_cutting_it_hurts() {
        for (state, idle, sending) in [
            (State::Established, 1, 1),
            (State::SynSent, 0, 0),
            (State::SynReceived, 1, 1),
            (State::FinWait1, 0, 1),
            (State::FinWait2, 0, 0),
            (State::TimeWait, 0, 0),
            (State::Close, 0, 0),
            (State::CloseWait, 0, 1),
            (State::LastAck, 0, 1),
            (State::Listen, 0, 0),
            (State::Closing, 0, 1),
            (State::NewSynReceived, 1, 1),
        ] {
            let rows = |sending| {
                let connection = Row { sending, ..from_outside(8080, state) };
                Tables { tcp: vec![listening("0.0.0.0:8080"), connection], ..Tables::default() }
            };
            assert_eq!(connections(&rows(0), &Ports::default()), idle, "{state:?}");
            assert_eq!(connections(&rows(7), &Ports::default()), sending, "{state:?} with bytes on their way");
        }
    }

    #[test]
    fn only_connections_to_the_pods_own_ports_from_outside_count() {
        let established = |local: &str, remote: &str| row(local, remote, State::Established);
        let v6 = "[2001:db8::3]:8080";
        for (what, rows, count) in [
            ("nothing", vec![], 0),
            ("one to a port it listens on", vec![listening("0.0.0.0:80"), from_outside(80, State::Established)], 1),
            ("one to its address alone", vec![listening("10.1.2.3:80"), from_outside(80, State::Established)], 1),
            ("one that it makes", vec![listening("0.0.0.0:80"), from_outside(40123, State::Established)], 0),
            ("one without a listener", vec![from_outside(80, State::Established)], 0),
            ("one over IPv6", vec![listening("[::]:8080"), established(v6, "[2001:db8::9]:40000")], 1),
            ("IPv4 on a socket of both kinds", vec![listening("[::]:8080"), from_outside(8080, State::Established)], 1),
            (
                "a sidecar's, through loopback",
                vec![
                    listening("0.0.0.0:80"),
                    established("127.0.0.1:80", "127.0.0.1:40000"),
                    established("10.1.2.3:80", "127.0.0.6:40000"),
                    established("[::1]:80", "[::1]:40000"),
                ],
                0,
            ),
            ("its own, to itself", vec![listening("0.0.0.0:80"), established("10.1.2.3:80", "10.1.2.3:40000")], 0),
            ("a port for loopback only", vec![listening("127.0.0.1:80"), from_outside(80, State::Established)], 0),
        ] {
            let tables = Tables { tcp: rows, ..Tables::default() };
            assert_eq!(connections(&tables, &Ports::default()), count, "{what}");
        }
    }

    #[test]
    fn declared_ports_count_and_ignored_ones_do_not() {
        let rows = vec![
            listening("0.0.0.0:9090"),
            from_outside(9090, State::Established),
            from_outside(8080, State::Established),
            from_outside(5000, State::Established),
        ];
        let tables = Tables { tcp: rows, ..Tables::default() };
        let count = |declared: &[u16], ignored: &[u16], host_network| {
            let ports = Ports {
                declared: declared.iter().copied().collect(),
                ignored: ignored.iter().copied().collect(),
                host_network,
            };
            connections(&tables, &ports)
        };
        assert_eq!(count(&[], &[], false), 1);
        assert_eq!(count(&[8080], &[], false), 2, "it has stopped listening, and still answers");
        assert_eq!(count(&[8080], &[9090], false), 1);
        assert_eq!(count(&[8080], &[], true), 1, "the node's other ports are not its own");
        assert_eq!(count(&[], &[], true), 0);
    }

    #[test]
    fn udp_connections_count_on_ports_that_also_serve_anybody() {
        let serves = row("0.0.0.0:443", "0.0.0.0:0", State::Close);
        let peer = from_outside(443, State::Established);
        let lookup = from_outside(51000, State::Established);
        let count = |udp: Vec<Row>| connections(&Tables { udp, ..Tables::default() }, &Ports::default());
        assert_eq!(count(vec![serves]), 0, "there are no connections to a socket that serves anybody");
        assert_eq!(count(vec![serves, peer, lookup]), 1);
        assert_eq!(count(vec![lookup]), 0, "a look-up in the DNS");
    }
}
