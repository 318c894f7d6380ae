//! What killed runs have left of their namespaces on this machine, as `slipway clean` finds and removes it.

use std::error::Error;
use std::io;
use std::path::Path;

use futures::future::{BoxFuture, FutureExt};

use super::{DIRECTORY, Leftover, leftovers};
use crate::clean::{Found, Source};

/// The names of namespaces that are gone.
#[derive(Debug, Default)]
pub struct Names(Vec<Leftover>);

impl Source for Names {
    fn place(&self) -> String {
        "this machine".to_owned()
    }

    fn find(&mut self) -> BoxFuture<'_, Result<Vec<Found>, Box<dyn Error + Send + Sync>>> {
        async {
            self.0 = leftovers(Path::new(DIRECTORY))?;
            let found = |left: &Leftover| Found {
                kind: "network namespace".to_owned(),
                name: left.name.clone(),
                run: String::new(),
            };
            Ok(self.0.iter().map(found).collect())
        }
        .boxed()
    }

    fn remove(&mut self) -> BoxFuture<'_, Vec<String>> {
        let stays = |left: &Leftover| match left.remove() {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Some(format!("{}: {error}", left.name)),
            _ => None,
        };
        async move { std::mem::take(&mut self.0).iter().filter_map(stays).collect() }.boxed()
    }
}
