//! NetworkManager keyfiles with systemd `.link` files: RHEL-likes from 9. Pure.

use std::fmt::Write;

use ipnet::IpNet;

use super::files::Rendered;
use super::host::Dir;
use super::record::Record;
use super::spec::{Wanted, host_net};

/// The `.link` file, which names the link and carries the record since NetworkManager never rewrites it, and the
/// keyfile, which NetworkManager only reads when nobody but root can.
pub(super) fn render(wanted: &Wanted, record: &Record) -> Vec<Rendered> {
    let (number, name, mac) = (wanted.number, wanted.name(), wanted.mac);
    let link = format!("{}[Match]\nMACAddress={mac}\n\n[Link]\nName={name}\n", record.header());
    vec![
        Rendered { dir: Dir::SystemdNetwork, name: format!("9{number}-{name}.link"), text: link, mode: 0o644 },
        Rendered {
            dir: Dir::SystemConnections,
            name: format!("9{number}-{name}.nmconnection"),
            text: keyfile(wanted),
            mode: 0o600,
        },
    ]
}

fn keyfile(wanted: &Wanted) -> String {
    let (name, mac) = (wanted.name(), wanted.mac);
    let mut text = format!(
        "{}[connection]\nid={name}\ntype=ethernet\ninterface-name={name}\nautoconnect=true\n\n[ethernet]\nmac-address={mac}\n",
        Record::notice(),
    );
    // Writing to a String cannot fail.
    if let Some(mtu) = wanted.mtu {
        let _ = writeln!(text, "mtu={mtu}");
    }
    let (ipv4, ipv6) = match wanted.address {
        None => ("method=disabled\n".to_owned(), "method=ignore\n".to_owned()),
        Some(address @ IpNet::V4(_)) => (manual(wanted, address), "method=ignore\n".to_owned()),
        Some(address @ IpNet::V6(_)) => ("method=disabled\n".to_owned(), manual(wanted, address)),
    };
    let _ = write!(text, "\n[ipv4]\n{ipv4}\n[ipv6]\n{ipv6}");
    text
}

fn manual(wanted: &Wanted, address: IpNet) -> String {
    let mut text = format!("method=manual\naddress1={address}\n");
    if let Some(routing) = wanted.routing {
        let (to, from) = (address.trunc(), host_net(address.addr()));
        let (table, metric, priority) = (routing.table, routing.metric, routing.priority);
        let _ = write!(
            text,
            "route-table={table}\nroute1={to},,{metric}\nrouting-rule1=priority {priority} from {from} table {table}\n",
        );
    }
    text.push_str("never-default=true\n");
    text
}
