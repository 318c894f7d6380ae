//! The name of an image: pure.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// The image that is used unless another one is named: the Kubernetes release that the embedded cluster has.
pub const DEFAULT: &str = "rancher/k3s:v1.36.1-k3s1";

/// An image with its tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageName {
    pub(super) name: String,
    pub(super) tag: String,
}

/// Text that names no image.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("{0:?} is no image with a tag: write NAME:TAG, e.g. {DEFAULT}")]
pub struct NotAnImage(pub String);

impl FromStr for ImageName {
    type Err = NotAnImage;

    fn from_str(text: &str) -> Result<Self, NotAnImage> {
        let refused = || NotAnImage(text.to_owned());
        let (name, tag) = text.rsplit_once(':').ok_or_else(refused)?;
        // A colon before the last slash is that of a registry's port.
        let is_tag = !tag.is_empty() && tag.chars().all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c));
        let is_name =
            !name.is_empty() && !name.contains(|c: char| c.is_whitespace() || c.is_ascii_uppercase() || c == '@');
        if is_tag && is_name { Ok(Self { name: name.to_owned(), tag: tag.to_owned() }) } else { Err(refused()) }
    }
}

impl fmt::Display for ImageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.name, self.tag)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_needs_a_tag_and_may_come_from_a_registry_with_a_port() {
        for good in [DEFAULT, "k3s:local", "registry:5000/rancher/k3s:v1.36.1-k3s1"] {
            assert_eq!(good.parse::<ImageName>().unwrap().to_string(), good);
        }
        for bad in
            ["", "rancher/k3s", "registry:5000/rancher/k3s", "rancher/k3s:", ":v1", "K3s:v1", "k3s@sha256:abc", "a b:c"]
        {
            assert_eq!(bad.parse::<ImageName>(), Err(NotAnImage(bad.to_owned())));
        }
    }
}
