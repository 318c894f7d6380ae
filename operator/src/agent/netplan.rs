//! netplan files: Ubuntu and Debian. Pure.

use std::fmt::Write;

use super::files::Rendered;
use super::host::Dir;
use super::record::Record;
use super::spec::{Wanted, host_net};

/// One file, readable by root only, as netplan asks for.
pub(super) fn render(wanted: &Wanted, record: &Record) -> Vec<Rendered> {
    let number = wanted.number;
    let name = wanted.name();
    vec![Rendered {
        dir: Dir::Netplan,
        name: format!("9{number}-{name}.yaml"),
        text: text(wanted, record),
        mode: 0o600,
    }]
}

/// MACs and addresses are quoted: unquoted, some of them are base 60 numbers to a YAML 1.1 reader.
fn text(wanted: &Wanted, record: &Record) -> String {
    let (name, mac) = (wanted.name(), wanted.mac);
    let mut text = record.header();
    let mut line = |args: std::fmt::Arguments<'_>| {
        // Writing to a String cannot fail.
        let _ = text.write_fmt(args);
        text.push('\n');
    };
    line(format_args!("network:"));
    line(format_args!("  version: 2"));
    line(format_args!("  ethernets:"));
    line(format_args!("    {name}:"));
    line(format_args!("      match:"));
    line(format_args!("        macaddress: \"{mac}\""));
    line(format_args!("      set-name: {name}"));
    line(format_args!("      dhcp4: false"));
    if let Some(address) = wanted.address {
        line(format_args!("      addresses:"));
        line(format_args!("        - \"{address}\""));
    }
    if let Some(mtu) = wanted.mtu {
        line(format_args!("      mtu: {mtu}"));
    }
    if let (Some(address), Some(routing)) = (wanted.address, wanted.routing) {
        line(format_args!("      routes:"));
        line(format_args!("        - to: \"{}\"", address.trunc()));
        line(format_args!("          table: {}", routing.table));
        line(format_args!("          metric: {}", routing.metric));
        // Without it older netplans take the route for one that needs a gateway, and refuse the whole file.
        line(format_args!("          scope: link"));
        line(format_args!("      routing-policy:"));
        line(format_args!("        - from: \"{}\"", host_net(address.addr())));
        line(format_args!("          table: {}", routing.table));
        line(format_args!("          priority: {}", routing.priority));
    }
    text
}
