//! What a process holds, as the kernel counts it.

use std::io;
use std::path::Path;

/// Resident memory, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// Now.
    pub resident: u64,
    /// At its highest since the process began.
    pub highest: u64,
}

impl Memory {
    /// That of this process; nothing where the kernel does not tell.
    pub(super) fn own() -> Self {
        Self::read(Path::new("/proc/self/status")).unwrap_or_default()
    }

    /// That of another process.
    pub(super) fn of(process: u32) -> io::Result<Self> {
        Self::read(Path::new(&format!("/proc/{process}/status")))
    }

    fn read(status: &Path) -> io::Result<Self> {
        Ok(Self::parse(&std::fs::read_to_string(status)?))
    }

    fn parse(status: &str) -> Self {
        let bytes = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            Some(line.split_whitespace().next()?.parse::<u64>().ok()? * 1024)
        };
        Self { resident: bytes("VmRSS:").unwrap_or_default(), highest: bytes("VmHWM:").unwrap_or_default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_kilobytes_are_bytes() {
        let status = "Name:\tx\nVmHWM:\t    2048 kB\nVmRSS:\t    1024 kB\n";
        assert_eq!(Memory::parse(status), Memory { resident: 1_048_576, highest: 2_097_152 });
        assert_eq!(Memory::parse("Name:\tx\n"), Memory::default());
    }
}
