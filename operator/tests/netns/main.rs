//! The agent against a real kernel: every case makes a network namespace of its own with veth pairs in it, and a root
//! directory for the configuration files. Where namespaces or veth pairs are not to be had, the cases are counted as
//! ignored, and the reason is said.

#![cfg_attr(
    target_os = "linux",
    expect(clippy::unwrap_used, clippy::print_stdout, reason = "a test, although without the harness that says so")
)]

#[cfg(target_os = "linux")]
mod cases;
#[cfg(target_os = "linux")]
mod faulty;
#[cfg(target_os = "linux")]
mod namespace;

#[cfg(target_os = "linux")]
fn main() -> std::process::ExitCode {
    use libtest_mimic::{Arguments, Trial};

    let arguments = Arguments::from_args();
    let lacking = namespace::prepare().err();
    if let Some(lacking) = &lacking {
        println!("skipped, since this kernel lacks something: {lacking}");
    }
    let trials = (cases::all().into_iter())
        .map(|(name, case)| {
            let ignored = lacking.is_some();
            let lacking = lacking.clone();
            let run = move || match lacking {
                None => namespace::run(case).map_err(Into::into),
                Some(lacking) => Err(lacking.into()),
            };
            Trial::test(name, run).with_ignored_flag(ignored)
        })
        .collect();
    libtest_mimic::run(&arguments, trials).exit_code()
}

#[cfg(not(target_os = "linux"))]
fn main() {
    println!("skipped: network namespaces are Linux's");
}
