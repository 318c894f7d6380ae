//! Nodes with real links: the scenarios of the node agent fare on this machine's kernel as they fare on the simulated link
//! table, that table answers as the kernel does, and whatever happens, nothing stays behind.
//!
//! Where network namespaces are not to be had, the cases are counted as ignored, and what is lacking is said.

#![cfg_attr(
    target_os = "linux",
    expect(clippy::unwrap_used, clippy::print_stdout, reason = "a test, although without the harness that says so")
)]

#[cfg(target_os = "linux")]
mod ends;
#[cfg(target_os = "linux")]
mod kernel;
#[cfg(target_os = "linux")]
mod parity;
#[cfg(target_os = "linux")]
mod rights;
#[cfg(target_os = "linux")]
mod surroundings;

#[cfg(target_os = "linux")]
fn main() -> std::process::ExitCode {
    use libtest_mimic::{Arguments, run};
    use slipway::cluster::embedded::node::netns;

    let arguments = Arguments::from_args();
    let lacking = netns::check().err().map(ToString::to_string);
    let trials = [parity::trials(), kernel::trials(), ends::trials(), rights::trials()].into_iter().flatten();
    let trials = trials.map(|case| case.trial(lacking.as_deref()));
    run(&arguments, trials.collect()).exit_code()
}

#[cfg(not(target_os = "linux"))]
fn main() {
    println!("skipped: network namespaces are Linux's");
}
