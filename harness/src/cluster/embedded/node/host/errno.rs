//! The ways in which the simulated kernel refuses, named and numbered as Linux does.

use thiserror::Error;

/// What the kernel answers instead of doing it.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq, Hash)]
pub enum Errno {
    /// `EPERM`: the capability is missing.
    #[error("operation not permitted")]
    Perm,
    /// `ENOENT`: no such rule or sysctl.
    #[error("no such file or directory")]
    NoEntry,
    /// `ESRCH`: no such route.
    #[error("no such process")]
    NoProcess,
    /// `ENXIO`: the link has no IPv6, and so no such address.
    #[error("no such device or address")]
    NoDeviceOrAddress,
    /// `EBUSY`: the link is up and this kernel renames only links that are down.
    #[error("device or resource busy")]
    Busy,
    /// `EEXIST`: the name, address, route or rule is there already.
    #[error("file exists")]
    Exists,
    /// `ENODEV`: no such link.
    #[error("no such device")]
    NoDevice,
    /// `EINVAL`: a value outside what the kernel takes.
    #[error("invalid argument")]
    Invalid,
    /// `ERANGE`: a device name that is too long.
    #[error("numerical result out of range")]
    Range,
    /// `EROFS`: `/proc/sys` is read-only in a container that is not privileged.
    #[error("read-only file system")]
    ReadOnly,
    /// `EADDRNOTAVAIL`: no such address.
    #[error("cannot assign requested address")]
    AddressNotAvailable,
    /// `ENETDOWN`: the route's link is down.
    #[error("network is down")]
    NetDown,
    /// `ENETUNREACH`: the next hop cannot be reached.
    #[error("network is unreachable")]
    NetUnreachable,
    /// `EHOSTUNREACH`: the next hop cannot be reached, in IPv6.
    #[error("no route to host")]
    HostUnreachable,
}

impl Errno {
    /// The number that Linux gives it.
    pub fn code(self) -> i32 {
        match self {
            Self::Perm => 1,
            Self::NoEntry => 2,
            Self::NoProcess => 3,
            Self::NoDeviceOrAddress => 6,
            Self::Busy => 16,
            Self::Exists => 17,
            Self::NoDevice => 19,
            Self::Invalid => 22,
            Self::ReadOnly => 30,
            Self::Range => 34,
            Self::AddressNotAvailable => 99,
            Self::NetDown => 100,
            Self::NetUnreachable => 101,
            Self::HostUnreachable => 113,
        }
    }
}

impl From<Errno> for std::io::Error {
    fn from(errno: Errno) -> Self {
        Self::from_raw_os_error(errno.code())
    }
}
