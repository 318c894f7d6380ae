//! What every command does that uses the kube-slint reference: read the file, ask whom it may ask, and say so when
//! something else has to stand in.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;

use super::Failure;
use crate::cli::printer::Printer;
use crate::cli::reference::{ReferenceSettings, RemoteMode};
use crate::remote::acquire::{AcquireError, Network};
use crate::remote::base::{self, Base, BaseError};
use crate::remote::cache::Cache;
use crate::remote::fetch::{FetchError, Fetcher, Limits};
use crate::remote::merge::{self, Effective, Layer, LayerError};
use crate::remote::origin::BaseUrl;
use crate::remote::provenance::{Provenance, Source};
use crate::remote::reference::Reference;
use crate::scenario::diagnostic::{Problem, SourceFile};

/// The largest file that somebody wrote by hand.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// What stands in for the reference, where that is not allowed.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct StandIn(String);

/// Reads the reference; none where no file was named and there is none at its usual place.
///
/// # Errors
/// [`Failure::Input`], after everything that is wrong with it has been shown.
pub(super) fn read(settings: &ReferenceSettings, printer: &Printer) -> Result<Option<Reference>, Failure> {
    read_as(Reference::parse, settings, printer)
}

fn read_as(
    parse: impl FnOnce(SourceFile) -> Result<Reference, Vec<Problem>>,
    settings: &ReferenceSettings,
    printer: &Printer,
) -> Result<Option<Reference>, Failure> {
    let name = settings.file.display().to_string();
    let text = match read_text(&settings.file) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound && !settings.is_wanted => return Ok(None),
        Err(error) => {
            return Err(Failure::Input {
                what: format!("cannot read the reference {name}"),
                source: Some(error.into()),
            });
        }
    };
    parse(SourceFile::new(&name, text)).map(Some).map_err(|problems| {
        for problem in &problems {
            printer.note(problem.render(printer.colours_errors()).trim_end());
            printer.note("");
        }
        Failure::Input { what: format!("the reference {name} cannot be used"), source: None }
    })
}

/// Reads the reference, which must be there.
///
/// # Errors
/// As [`read`].
pub(super) fn need(settings: &ReferenceSettings, printer: &Printer) -> Result<Reference, Failure> {
    need_as(Reference::parse, settings, printer)
}

/// Reads the reference to move it.
///
/// # Errors
/// As [`read`].
pub(super) fn need_to_move(settings: &ReferenceSettings, printer: &Printer) -> Result<Reference, Failure> {
    need_as(Reference::parse_to_move, settings, printer)
}

fn need_as(
    parse: impl FnOnce(SourceFile) -> Result<Reference, Vec<Problem>>,
    settings: &ReferenceSettings,
    printer: &Printer,
) -> Result<Reference, Failure> {
    let wanted = ReferenceSettings { is_wanted: true, ..settings.clone() };
    read_as(parse, &wanted, printer)?
        .ok_or_else(|| Failure::Input { what: format!("there is no {}", settings.file.display()), source: None })
}

/// A text that somebody wrote, within bounds.
pub(super) fn read_text(path: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    let read = File::open(path)?.take(FILE_BYTES_MAX + 1).read_to_string(&mut text)?;
    if read as u64 > FILE_BYTES_MAX {
        return Err(std::io::Error::other(format!("it is larger than {FILE_BYTES_MAX} bytes")));
    }
    Ok(text)
}

/// The cache that the settings name.
pub(super) fn cache(settings: &ReferenceSettings) -> Cache {
    Cache::new(settings.cache.clone(), Limits::default().bytes)
}

/// The network below a base URL.
///
/// # Errors
/// [`Failure::Environment`].
pub(super) fn network(base: &BaseUrl) -> Result<Network, Failure> {
    let fetcher = Fetcher::new(base, Limits::default()).map_err(fetch_failure)?;
    Ok(Network { fetcher, base: base.clone() })
}

/// Waits for what the network says.
///
/// # Errors
/// [`Failure::Environment`] when there is no runtime to be had.
pub(super) fn wait<T>(future: impl Future<Output = T>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|source| Failure::Environment {
        what: "cannot start the runtime".to_owned(),
        source: source.into(),
    })?;
    Ok(runtime.block_on(future))
}

/// Gets the base policy as the settings allow; none where there is no reference. Says so when it is not the network's.
///
/// # Errors
/// See [`Failure`].
pub(super) fn base(settings: &ReferenceSettings, printer: &Printer) -> Result<Option<Base>, Failure> {
    let Some(reference) = read(settings, printer)? else { return Ok(None) };
    let network = match settings.mode {
        RemoteMode::Cached => None,
        RemoteMode::Fetch | RemoteMode::Required => Some(network(&settings.base)?),
    };
    let base = wait(base::base(&reference, &cache(settings), network.as_ref()))?.map_err(|error| match error {
        BaseError::Acquire(error) => acquire_failure(error),
        BaseError::NotText(_) => Failure::Refused { what: error.to_string(), source: None },
    })?;
    check(settings.mode, &base.provenance)?;
    if settings.mode != RemoteMode::Cached
        && let Some(warning) = base.provenance.warning()
    {
        printer.note(warning);
    }
    Ok(Some(base))
}

/// Nothing may stand in where the network is required.
///
/// # Errors
/// [`Failure::Environment`].
pub(super) fn check(mode: RemoteMode, provenance: &Provenance) -> Result<(), Failure> {
    if mode != RemoteMode::Required || provenance.source == Source::Network {
        return Ok(());
    }
    let why = provenance.warning().unwrap_or_else(|| format!("it comes from the {}", provenance.source));
    let what = "the reference is required, and the network did not have it".to_owned();
    Err(Failure::Environment { what, source: StandIn(why).into() })
}

/// Our policy laid over a base.
///
/// # Errors
/// See [`LayerError`].
pub(super) fn effective(base: &Base, ours: Option<Layer<'_>>) -> Result<Effective, LayerError> {
    merge::effective(Layer { name: &base.name, text: &base.text }, ours)
}

/// Why files were not got, as an exit code knows it.
pub(super) fn acquire_failure(error: AcquireError) -> Failure {
    match error {
        AcquireError::Fetch(error) => fetch_failure(error),
        AcquireError::Mismatch { .. } => Failure::Refused { what: error.to_string(), source: None },
        AcquireError::Cache(error) => {
            Failure::Environment { what: "the cache cannot be used".to_owned(), source: error.into() }
        }
    }
}

/// Why one file was not got.
pub(super) fn fetch_failure(error: FetchError) -> Failure {
    let what = "a file of the reference cannot be fetched".to_owned();
    match error {
        FetchError::Unavailable { .. } | FetchError::Setup(_) => Failure::Environment { what, source: error.into() },
        _ => Failure::Refused { what, source: Some(error.into()) },
    }
}
