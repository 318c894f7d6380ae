//! What the system knows about this process, under the names that every Prometheus client has for it.
//!
//! It is read from `/proc` at every scrape; where there is none, the series stay at zero.

use std::path::Path;

use super::metrics::Metrics;

/// Clock ticks a second in `/proc`: what user space has been promised on every architecture of ours.
const TICKS_PER_SECOND: f64 = 100.0;

/// What `/proc` says of one process.
#[derive(Debug, Default, PartialEq)]
struct Process {
    start_time_seconds: f64,
    cpu_seconds: f64,
    resident_bytes: f64,
    virtual_bytes: f64,
    open_fds: f64,
    max_fds: f64,
}

/// Measures this process. Of several operators in one process each tells the same.
pub fn measure(metrics: &Metrics) {
    let start = metrics.plain_gauge("process_start_time_seconds", "When the process started, in seconds since 1970.");
    let cpu = metrics.plain_counter("process_cpu_seconds_total", "Time spent on a CPU, user and system, in seconds.");
    let resident = metrics.plain_gauge("process_resident_memory_bytes", "Resident memory, in bytes.");
    let virtual_memory = metrics.plain_gauge("process_virtual_memory_bytes", "Virtual memory, in bytes.");
    let open = metrics.plain_gauge("process_open_fds", "Open file descriptors.");
    let max = metrics.plain_gauge("process_max_fds", "File descriptors that may be open.");
    metrics.before_scrape(move || {
        let process = look(Path::new("/proc"));
        start.set(process.start_time_seconds);
        cpu.inc_by((process.cpu_seconds - cpu.get()).max(0.0));
        resident.set(process.resident_bytes);
        virtual_memory.set(process.virtual_bytes);
        open.set(process.open_fds);
        max.set(process.max_fds);
    });
}

fn look(proc: &Path) -> Process {
    let text = |path: &str| std::fs::read_to_string(proc.join(path)).unwrap_or_default();
    let (stat, system, status, limits) = (text("self/stat"), text("stat"), text("self/status"), text("self/limits"));
    let fds = std::fs::read_dir(proc.join("self/fd")).map(Iterator::count).unwrap_or_default();
    // Looking takes one itself.
    let open_fds = u32::try_from(fds.saturating_sub(1)).unwrap_or(u32::MAX).into();
    // Of the name in parentheses anything may be part; what is counted comes after it, from field 3 on.
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let field = |number: usize| fields.get(number - 3).and_then(|text| text.parse::<f64>().ok()).unwrap_or_default();
    let booted = word_after(&system, "btime").unwrap_or_default();
    Process {
        start_time_seconds: booted + field(22) / TICKS_PER_SECOND,
        cpu_seconds: (field(14) + field(15)) / TICKS_PER_SECOND,
        resident_bytes: word_after(&status, "VmRSS:").unwrap_or_default() * 1024.0,
        virtual_bytes: word_after(&status, "VmSize:").unwrap_or_default() * 1024.0,
        open_fds,
        max_fds: word_after(&limits, "Max open files").unwrap_or_default(),
    }
}

/// The number behind `name`, in the line that begins with it.
fn word_after(text: &str, name: &str) -> Option<f64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
    rest.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_proc_says_is_read_whatever_the_process_is_called() {
        let proc = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(proc.path().join("self/fd/0")).unwrap();
        std::fs::create_dir_all(proc.path().join("self/fd/1")).unwrap();
        let write = |path: &str, text: &str| std::fs::write(proc.path().join(path), text).unwrap();
        write("stat", "cpu  1 2 3\nbtime 1700000000\n");
        write("self/stat", "42 (a) b) S 1 42 42 0 -1 4194560 0 0 0 0 150 50 0 0 20 0 5 0 1234 0 0\n");
        write("self/status", "Name:\ta\nVmSize:\t  200 kB\nVmRSS:\t  100 kB\n");
        write("self/limits", "Limit  Soft Limit  Hard Limit  Units\nMax open files            1024  4096  files\n");
        let expected = Process {
            start_time_seconds: 1_700_000_012.34,
            cpu_seconds: 2.0,
            resident_bytes: 102_400.0,
            virtual_bytes: 204_800.0,
            open_fds: 1.0,
            max_fds: 1024.0,
        };
        assert_eq!(look(proc.path()), expected);
        assert_eq!(look(Path::new("/nowhere")), Process::default());
    }
}
