//! `slipway serve`: the embedded cluster behind a listener, until a signal arrives.

use super::Failure;
use crate::cli::exit::Exit;
use crate::cli::printer::Printer;
use crate::cli::settings::ServeSettings;

/// Serves until told to stop.
///
/// # Errors
/// [`Failure::Environment`] when an address cannot be bound or the kubeconfig cannot be written.
pub fn serve(_settings: &ServeSettings, _printer: &Printer) -> Result<Exit, Failure> {
    Err(Failure::Environment { what: "serve".to_owned(), source: "the server is not built in yet".into() })
}
