//! The record that an interface's configuration file carries in a comment: which link it is, how that link was found
//! before it was taken over, and what was made of it. With it a later run undoes exactly what an earlier one did, also
//! after a reboot. Pure.

use std::collections::BTreeMap;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::host::{Mac, Sysctl};

/// What stands before the record's JSON on its line.
const MARK: &str = "# multinic-agent: ";

/// The comment above the record, for people.
const NOTICE: &str =
    "# Written by multinic-agent. Changes are overwritten; delete the node's MultiNicNodeConfig to undo it.\n";

/// What is known about an interface from its files.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    /// The link.
    #[serde(with = "mac_text")]
    pub(super) mac: Option<Mac>,
    /// The link before it was taken over; unknown for files of others who use the same names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) found: Option<Found>,
    /// What it was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) applied: Option<Applied>,
    /// What it had been given before, while that is being replaced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) leaving: Option<Applied>,
}

/// A link before it was taken over.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Found {
    /// Its name; none when it already had one of ours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) name: Option<String>,
    /// Administratively up.
    pub(super) up: bool,
    /// Bytes.
    pub(super) mtu: u32,
    /// The sysctls that could be read.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) sysctls: BTreeMap<Sysctl, String>,
}

/// An address given to a link, and the table its rule looks up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Applied {
    /// The address with its prefix length.
    pub(super) address: IpNet,
    /// The table; none without policy routing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) table: Option<u32>,
}

impl Record {
    /// The comment lines that open a file.
    pub(super) fn header(&self) -> String {
        // Only strings, numbers and maps with string keys: there is nothing in it that JSON cannot say.
        let json = serde_json::to_string(self).unwrap_or_default();
        format!("{NOTICE}{MARK}{json}\n")
    }

    /// The comment for files that need no record.
    pub(super) fn notice() -> &'static str {
        NOTICE
    }

    /// Reads the record of a file; none when it has none, or none that can be read.
    pub(super) fn read(text: &str) -> Option<Self> {
        text.lines().find_map(|line| serde_json::from_str(line.strip_prefix(MARK)?).ok())
    }

    /// Takes from `other` what this one does not know.
    pub(super) fn or(self, other: Self) -> Self {
        Self {
            mac: self.mac.or(other.mac),
            found: self.found.or(other.found),
            applied: self.applied.or(other.applied),
            leaving: self.leaving.or(other.leaving),
        }
    }
}

/// MAC addresses as text.
mod mac_text {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::Mac;

    #[expect(clippy::ref_option, clippy::trivially_copy_pass_by_ref, reason = "the signature is serde's")]
    pub(super) fn serialize<S: Serializer>(mac: &Option<Mac>, serializer: S) -> Result<S::Ok, S::Error> {
        mac.map(|mac| mac.to_string()).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Mac>, D::Error> {
        Ok(Option::<String>::deserialize(deserializer)?.as_deref().and_then(Mac::parse))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_read_back_from_the_header_of_its_file() {
        let record = Record {
            mac: Mac::parse("fa:16:3e:f3:b0:3f"),
            found: Some(Found {
                name: Some("ens4".into()),
                up: false,
                mtu: 1500,
                sysctls: [(Sysctl::RpFilter, "1".to_owned())].into(),
            }),
            applied: Some(Applied { address: "11.11.11.33/24".parse().unwrap(), table: Some(101) }),
            leaving: None,
        };
        let header = record.header();
        insta::assert_snapshot!(header, @r##"
        # Written by multinic-agent. Changes are overwritten; delete the node's MultiNicNodeConfig to undo it.
        # multinic-agent: {"mac":"fa:16:3e:f3:b0:3f","found":{"name":"ens4","up":false,"mtu":1500,"sysctls":{"rp_filter":"1"}},"applied":{"address":"11.11.11.33/24","table":101}}
        "##);
        assert_eq!(Record::read(&format!("{header}network:\n")), Some(record));
    }

    #[test]
    fn a_file_without_a_readable_record_has_none() {
        for text in ["", "network: {}\n", "# multinic-agent: {\n", "  # multinic-agent: {\"mac\":null}"] {
            assert_eq!(Record::read(text), None);
        }
    }
}
