//! What people read in Events. Pure.

use crate::kit::report::{Kind, Notice};

pub(super) fn bad_configuration(what: &str, trouble: &str) -> Notice {
    let note = format!("{what}: {trouble}");
    Notice { kind: Kind::Warning, reason: "BadConfiguration".to_owned(), action: "Configure".to_owned(), note }
}

pub(super) fn configuration_read() -> Notice {
    let note = "the configuration is in force".to_owned();
    Notice { kind: Kind::Normal, reason: "ConfigurationRead".to_owned(), action: "Configure".to_owned(), note }
}
