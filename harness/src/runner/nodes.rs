//! Assertions on a node's files and links. A node says when something on it changes, so that nobody looks again and
//! again.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::trouble::{Trouble, diff, within, yaml};
use crate::cluster::Node;
use crate::scenario::forms::glob;
use crate::scenario::model::{ExpectFile, ExpectLink};
use crate::scenario::node::LinkSpec;
use crate::scenario::partial::{differences, project};

/// Waits until a file is as described.
pub(super) async fn expect_file(node: Arc<dyn Node>, file: &ExpectFile, limit: Duration) -> Result<(), Trouble> {
    wait(&node, limit, async || check_file(node.as_ref(), file, limit).await).await
}

/// Waits until a link is as described.
pub(super) async fn expect_link(node: Arc<dyn Node>, link: &ExpectLink, limit: Duration) -> Result<(), Trouble> {
    wait(&node, limit, async || check_link(node.as_ref(), link, limit).await).await
}

async fn wait(
    node: &Arc<dyn Node>,
    limit: Duration,
    check: impl AsyncFn() -> Result<(), Trouble>,
) -> Result<(), Trouble> {
    let mut changes = node.changes();
    let waiting = async {
        while check().await.is_err() {
            if changes.changed().await.is_err() {
                // The node is gone and will not change any more.
                std::future::pending::<()>().await;
            }
        }
    };
    match tokio::time::timeout(limit, waiting).await {
        Ok(()) => Ok(()),
        Err(_) => check().await,
    }
}

async fn check_file(node: &dyn Node, file: &ExpectFile, limit: Duration) -> Result<(), Trouble> {
    let place = format!("{} on {}", file.path, file.node);
    if file.absent {
        let found = matching(node, &file.path).await;
        let found = found.map_err(|error| Trouble::new(format!("cannot look for {place}: {error}")))?;
        return match found.first() {
            None => Ok(()),
            Some(first) => {
                let content = node.read_file(first).await.unwrap_or_default();
                let lines = String::from_utf8_lossy(&content).lines().map(str::to_owned).collect();
                let message =
                    format!("{} on {} was still there after {}", found.join(", "), file.node, super::span(limit));
                Err(Trouble::new(message).with(first.clone(), lines))
            }
        };
    }
    let content = match node.read_file(&file.path).await {
        Ok(content) => String::from_utf8_lossy(&content).into_owned(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let directory = file.path.rsplit_once('/').map_or("/", |(directory, _)| directory);
            let beside = node.list_dir(directory).await.unwrap_or_default();
            return Err(Trouble::new(format!("{place} did not appear {}", within(limit)))
                .with(format!("in {directory} there are"), beside));
        }
        Err(error) => return Err(Trouble::new(format!("cannot read {place}: {error}"))),
    };
    if let Some(expected) = &file.content
        && *expected != content
    {
        return Err(Trouble::new(format!("{place} did not have the expected content {}", within(limit)))
            .with("expected (-) against actual (+)", diff(expected, &content)));
    }
    let missing = file.contains.as_ref().map(|parts| parts.missing(&content)).unwrap_or_default();
    if !missing.is_empty() {
        let message = format!("{place} did not contain {} {}", quoted(&missing), within(limit));
        return Err(Trouble::new(message).with("actual", content.lines().map(str::to_owned).collect()));
    }
    let wanted = file.mode.as_deref().and_then(|mode| u32::from_str_radix(mode, 8).ok());
    match (wanted, node.file_mode(&file.path).await) {
        (Some(wanted), Ok(mode)) if mode & 0o7777 != wanted => Err(Trouble::new(format!(
            "{place} had the mode {:04o}, not {wanted:04o}, after {}",
            mode & 0o7777,
            super::span(limit)
        ))),
        (Some(_), Err(error)) => Err(Trouble::new(format!("cannot read the mode of {place}: {error}"))),
        _ => Ok(()),
    }
}

/// The files that a path means, in whose last part `*` stands for anything.
async fn matching(node: &dyn Node, path: &str) -> io::Result<Vec<String>> {
    let (directory, pattern) = path.rsplit_once('/').unwrap_or(("", path));
    let directory = if directory.is_empty() { "/" } else { directory };
    let names = match node.list_dir(directory).await {
        // What is not there holds nothing. That a node cannot be asked does not mean that it has no such file.
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Vec::new(),
        names => names?,
    };
    let found = names.into_iter().filter(|name| glob(pattern, name));
    Ok(found.map(|name| format!("{}/{name}", directory.trim_end_matches('/'))).collect())
}

async fn check_link(node: &dyn Node, expected: &ExpectLink, limit: Duration) -> Result<(), Trouble> {
    let links = node.links().await;
    let links = links.map_err(|error| Trouble::new(format!("cannot read the links of {}: {error}", expected.node)))?;
    let found = links.iter().find(|link| expected.link.selects(link));
    let which = expected.link.name.as_ref().or(expected.link.mac.as_ref()).cloned().unwrap_or_default();
    match (found, expected.absent) {
        (None, true) => Ok(()),
        (Some(link), true) => {
            Err(Trouble::new(format!("the link {which} was still on {} after {}", expected.node, super::span(limit)))
                .with("actual", yaml(&sorted(link)).lines().map(str::to_owned).collect()))
        }
        (None, false) => {
            let there = links.iter().map(|link| format!("{} {}", link.name, link.mac)).collect();
            Err(Trouble::new(format!("the link {which} did not appear on {} {}", expected.node, within(limit)))
                .with("there are", there))
        }
        (Some(link), false) => {
            let wanted = in_order(serde_json::to_value(&expected.link).unwrap_or_default());
            let actual = sorted(link);
            if differences(&wanted, &actual).is_empty() {
                return Ok(());
            }
            let message = format!("the link {which} on {} was not as expected {}", expected.node, within(limit));
            Err(Trouble::new(message)
                .with("expected (-) against actual (+)", diff(&yaml(&wanted), &yaml(&project(&wanted, &actual))))
                .with("the link as it is", yaml(&actual).lines().map(str::to_owned).collect()))
        }
    }
}

fn sorted(link: &LinkSpec) -> Value {
    in_order(serde_json::to_value(link).unwrap_or_default())
}

/// A link's lists have no order that matters: both sides are put in the same. A MAC is the same in either case.
fn in_order(mut link: Value) -> Value {
    for field in ["addresses", "routes", "rules"] {
        if let Some(list) = link.get_mut(field).and_then(Value::as_array_mut) {
            list.sort_by_cached_key(Value::to_string);
        }
    }
    if let Some(mac) = link.get_mut("mac")
        && let Some(text) = mac.as_str()
    {
        *mac = text.to_lowercase().into();
    }
    link
}

fn quoted(texts: &[&str]) -> String {
    let quoted: Vec<_> = texts.iter().map(|text| format!("{text:?}")).collect();
    quoted.join(" and ")
}

#[cfg(test)]
mod tests {
    use std::future::ready;

    use futures::FutureExt;
    use futures::future::BoxFuture;
    use tokio::sync::watch;

    use super::*;
    use crate::scenario::model::PartialLink;

    /// A node with one file and one link, which may change.
    struct Fake {
        content: std::sync::Mutex<Option<&'static str>>,
        links: Vec<LinkSpec>,
        changes: watch::Sender<u64>,
    }

    impl Node for Fake {
        fn read_file<'a>(&'a self, _: &'a str) -> BoxFuture<'a, io::Result<Vec<u8>>> {
            let content = self.content.lock().unwrap().map(|text| text.as_bytes().to_vec());
            ready(content.ok_or(io::ErrorKind::NotFound.into())).boxed()
        }

        fn file_mode<'a>(&'a self, _: &'a str) -> BoxFuture<'a, io::Result<u32>> {
            ready(Ok(0o100_600)).boxed()
        }

        fn list_dir<'a>(&'a self, _: &'a str) -> BoxFuture<'a, io::Result<Vec<String>>> {
            ready(Ok(self.content.lock().unwrap().map(|_| "91-multinic1.yaml".to_owned()).into_iter().collect()))
                .boxed()
        }

        fn links(&self) -> BoxFuture<'_, io::Result<Vec<LinkSpec>>> {
            ready(Ok(self.links.clone())).boxed()
        }

        fn changes(&self) -> watch::Receiver<u64> {
            self.changes.subscribe()
        }
    }

    fn fake(content: Option<&'static str>) -> Arc<Fake> {
        let addresses = vec!["10.0.0.2/24".to_owned(), "10.0.0.1/24".to_owned()];
        let mac = "fa:16:3e:f3:b0:3f".to_owned();
        let link = LinkSpec { name: "multinic1".to_owned(), mac, up: true, addresses, ..LinkSpec::default() };
        Arc::new(Fake { content: content.into(), links: vec![link], changes: watch::channel(0).0 })
    }

    fn file() -> ExpectFile {
        ExpectFile { node: "a".to_owned(), path: "/etc/netplan/91-multinic1.yaml".to_owned(), ..ExpectFile::default() }
    }

    const LIMIT: Duration = Duration::from_mins(1);

    #[tokio::test(start_paused = true)]
    async fn a_file_that_comes_later_is_waited_for() {
        let node = fake(None);
        let expected = ExpectFile { content: Some("a\n".to_owned()), mode: Some("0600".to_owned()), ..file() };
        let writer = Arc::clone(&node);
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_secs(30)).await;
            *writer.content.lock().unwrap() = Some("a\n");
            writer.changes.send_modify(|count| *count += 1);
        });
        let before = tokio::time::Instant::now();
        expect_file(node, &expected, LIMIT).await.unwrap();
        assert_eq!(before.elapsed().as_secs(), 30);
    }

    #[tokio::test(start_paused = true)]
    async fn a_wrong_file_is_shown_against_the_right_one() {
        let expected = ExpectFile { content: Some("a\nb\n".to_owned()), ..file() };
        let trouble = expect_file(fake(Some("a\nc\n")), &expected, LIMIT).await.unwrap_err();
        assert_eq!(trouble.sections[0].lines, ["  a", "- b", "+ c"]);
        let expected = ExpectFile { mode: Some("0644".to_owned()), ..file() };
        let trouble = expect_file(fake(Some("")), &expected, LIMIT).await.unwrap_err();
        assert!(trouble.message.contains("0600, not 0644"), "{trouble:?}");
        let expected = ExpectFile { absent: true, path: "/etc/netplan/9*-multinic*.yaml".to_owned(), ..file() };
        let trouble = expect_file(fake(Some("x")), &expected, LIMIT).await.unwrap_err();
        assert!(trouble.message.starts_with("/etc/netplan/91-multinic1.yaml on a was still there"), "{trouble:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_link_is_found_by_name_or_mac_and_its_lists_have_no_order() {
        let link = |link: PartialLink| ExpectLink { node: "a".to_owned(), link, ..ExpectLink::default() };
        let addresses = serde_json::from_str("[\"10.0.0.1/24\", \"10.0.0.2/24\"]").unwrap();
        let by_mac = link(PartialLink {
            mac: Some("FA:16:3E:F3:B0:3F".to_owned()),
            addresses: Some(addresses),
            ..PartialLink::default()
        });
        expect_link(fake(None), &by_mac, LIMIT).await.unwrap();
        let wrong = link(PartialLink { name: Some("multinic1".to_owned()), up: Some(false), ..PartialLink::default() });
        let trouble = expect_link(fake(None), &wrong, LIMIT).await.unwrap_err();
        assert_eq!(trouble.sections[0].lines, ["  name: multinic1", "- up: false", "+ up: true"]);
    }
}
