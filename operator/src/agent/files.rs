//! Which files are the agent's, and what is in them. Pure.
//!
//! A file is ours when its name is exactly one that the agent writes: `99-multinic-foo.yaml` is somebody else's.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;

use super::host::{Dir, FileContent, FileRef, Mac};
use super::record::{Applied, Record};
use super::spec::{Wanted, number_of};
use super::{ifcfg, netplan, networkmanager};
use crate::api::agent::OsKind;

/// Files by where they are.
pub(super) type Files = BTreeMap<FileRef, FileContent>;

/// What an unfinished write leaves behind carries this around the name of the file, so that nobody reads it.
pub(super) const TEMPORARY: (&str, &str) = (".", ".multinic-agent");

/// The number of the interface a file of ours belongs to; none for files of others.
pub(super) fn number_of_file(dir: Dir, name: &str) -> Option<u8> {
    let (before, after) = TEMPORARY;
    let name = name.strip_prefix(before).and_then(|name| name.strip_suffix(after)).unwrap_or(name);
    let extension = match dir {
        Dir::NetworkScripts => {
            return ifcfg::PREFIXES.iter().find_map(|prefix| number_of(name.strip_prefix(prefix)?));
        }
        Dir::Netplan => ".yaml",
        Dir::SystemdNetwork => ".link",
        Dir::SystemConnections => ".nmconnection",
    };
    let (order, name) = name.strip_suffix(extension)?.split_once('-')?;
    // 9N comes late among files that are read in the order of their names.
    number_of(name).filter(|number| order.as_bytes() == [b'9', b'0' + number])
}

/// The files that persist an interface, the one with the record first.
pub(super) fn render(os: OsKind, wanted: &Wanted, record: &Record) -> Vec<(FileRef, FileContent)> {
    let rendered = match os {
        OsKind::Netplan => netplan::render(wanted, record),
        OsKind::Ifcfg => ifcfg::render(wanted, record),
        OsKind::NetworkManager => networkmanager::render(wanted, record),
    };
    rendered
        .into_iter()
        .filter_map(|file| {
            // The names are made of digits and letters, so every one of them makes a reference.
            let reference = FileRef::new(file.dir, file.name)?;
            Some((reference, FileContent { bytes: file.text.into_bytes(), mode: file.mode }))
        })
        .collect()
}

/// A file as the format modules make it.
pub(super) struct Rendered {
    pub(super) dir: Dir,
    pub(super) name: String,
    pub(super) text: String,
    pub(super) mode: u32,
}

/// What the files say about the interfaces they belong to, by number.
pub(super) fn records(files: &Files) -> BTreeMap<u8, Record> {
    let mut records: BTreeMap<u8, Record> = BTreeMap::new();
    let numbers: BTreeSet<u8> = files.keys().filter_map(|file| number_of_file(file.dir(), file.name())).collect();
    for number in numbers {
        let texts: Vec<(&FileRef, String)> = of_number(files, number)
            .map(|(file, content)| (file, String::from_utf8_lossy(&content.bytes).into_owned()))
            .collect();
        let own = texts.iter().filter_map(|(_, text)| Record::read(text));
        let others = texts.iter().map(|(file, text)| without_record(file.dir(), text));
        records.insert(number, own.chain(others).fold(Record::default(), Record::or));
    }
    records
}

/// An interface's files.
pub(super) fn of_number(files: &Files, number: u8) -> impl Iterator<Item = (&FileRef, &FileContent)> {
    files.iter().filter(move |(file, _)| number_of_file(file.dir(), file.name()) == Some(number))
}

/// What can be told from the body of a file, for files that an earlier, record-less agent wrote.
fn without_record(dir: Dir, text: &str) -> Record {
    let (mac, address, prefix) = match dir {
        Dir::Netplan => (value(text, "macaddress:"), netplan_address(text), None),
        Dir::NetworkScripts => (
            value(text, "HWADDR="),
            value(text, "IPADDR=").or_else(|| value(text, "IPV6ADDR=")),
            value(text, "PREFIX="),
        ),
        Dir::SystemConnections => (value(text, "mac-address="), value(text, "address1="), None),
        Dir::SystemdNetwork => (value(text, "MACAddress="), None, None),
    };
    let address: Option<IpNet> = address.and_then(|address| match prefix.filter(|_| !address.contains('/')) {
        Some(prefix) => format!("{address}/{prefix}").parse().ok(),
        None => address.parse().ok(),
    });
    let table = ["table:", "route-table="].iter().find_map(|key| value(text, key)).and_then(|table| table.parse().ok());
    Record {
        mac: mac.as_deref().and_then(Mac::parse),
        found: None,
        applied: address.map(|address| Applied { address, table }),
        leaving: None,
    }
}

/// The value behind the first line that starts with a key, without list dashes and quotes.
fn value(text: &str, key: &str) -> Option<String> {
    let value = text.lines().find_map(|line| line.trim_start_matches([' ', '-']).strip_prefix(key))?;
    let value = value.trim().trim_matches(['"', '\'']);
    (!value.is_empty()).then(|| value.to_owned())
}

/// The first address of a netplan file, whether its list is in one line or not.
fn netplan_address(text: &str) -> Option<String> {
    let (_, rest) = text.split_once("addresses:")?;
    let first = rest.trim_start_matches([' ', '\n', '-', '[', '"', '\'']);
    let end = first.find(|c: char| !c.is_ascii_hexdigit() && !matches!(c, '.' | ':' | '/')).unwrap_or(first.len());
    Some(first[..end].to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(dir: Dir, name: &str, text: &str) -> (FileRef, FileContent) {
        (FileRef::new(dir, name).unwrap(), FileContent { bytes: text.into(), mode: 0o600 })
    }

    #[test]
    fn only_names_that_the_agent_writes_are_its_own() {
        for (dir, name, number) in [
            (Dir::Netplan, "91-multinic1.yaml", Some(1)),
            (Dir::Netplan, ".91-multinic1.yaml.multinic-agent", Some(1)),
            (Dir::Netplan, "99-multinic-foo.yaml", None),
            (Dir::Netplan, "91-multinic2.yaml", None),
            (Dir::Netplan, "91-multinic1.yaml.bak", None),
            (Dir::Netplan, "910-multinic10.yaml", None),
            (Dir::Netplan, "50-cloud-init.yaml", None),
            (Dir::SystemdNetwork, "91-multinic1.yaml", None),
            (Dir::SystemdNetwork, "90-multinic0.link", Some(0)),
            (Dir::SystemConnections, "99-multinic9.nmconnection", Some(9)),
            (Dir::NetworkScripts, "ifcfg-multinic3", Some(3)),
            (Dir::NetworkScripts, "rule6-multinic3", Some(3)),
            (Dir::NetworkScripts, "ifcfg-multinic3.rpmsave", None),
            (Dir::NetworkScripts, "ifcfg-multinic33", None),
            (Dir::NetworkScripts, "ifcfg-eth0", None),
        ] {
            assert_eq!(number_of_file(dir, name), number, "{name}");
        }
    }

    #[test]
    fn files_of_an_agent_without_records_still_say_what_to_undo() {
        let applied = |address: &str, table| Some(Applied { address: address.parse().unwrap(), table });
        for (file, applied) in [
            (
                file(
                    Dir::Netplan,
                    "91-multinic1.yaml",
                    "network:\n  version: 2\n  ethernets:\n    multinic1:\n      match:\n        macaddress: fa:16:3e:f3:b0:3f\n      set-name: multinic1\n      addresses: [11.11.11.33/24]\n      routes:\n      - to: 11.11.11.0/24\n        table: 101\n",
                ),
                applied("11.11.11.33/24", Some(101)),
            ),
            (
                file(
                    Dir::NetworkScripts,
                    "ifcfg-multinic1",
                    "DEVICE=multinic1\nIPADDR=11.11.11.33\nPREFIX=24\nHWADDR=fa:16:3e:f3:b0:3f",
                ),
                applied("11.11.11.33/24", None),
            ),
            (
                file(
                    Dir::SystemConnections,
                    "91-multinic1.nmconnection",
                    "[ethernet]\nmac-address=FA:16:3E:F3:B0:3F\n[ipv4]\naddress1=11.11.11.33/24\nroute-table=101\n",
                ),
                applied("11.11.11.33/24", Some(101)),
            ),
            (file(Dir::SystemdNetwork, "91-multinic1.link", "[Match]\nMACAddress=fa:16:3e:f3:b0:3f\n"), None),
        ] {
            let record = records(&[file].into()).remove(&1).unwrap();
            assert_eq!(record, Record { mac: Mac::parse("fa:16:3e:f3:b0:3f"), applied, ..Record::default() });
        }
    }

    #[test]
    fn a_file_that_makes_no_sense_belongs_to_its_interface_all_the_same() {
        let (reference, mut content) = file(Dir::Netplan, "91-multinic1.yaml", "");
        content.bytes = vec![0xff, 0xfe, b'a', b'd', b'd', b'r', b'e', b's', b's', b'e', b's', b':'];
        assert_eq!(records(&[(reference, content)].into()), [(1, Record::default())].into());
    }
}
