//! TCP among the Pods of a cluster: who listens where, who is connected to whom.
//!
//! In virtual time a connection is a pipe in memory; in real time it can be a socket on a loopback address, behind the same
//! names. Either way every connection stands in the tables of its ends for as long as it is open, and [`proc`] shows
//! them as `/proc/net/tcp` does. A program that is dropped closes what it had open, as a process that is killed does.

pub mod http;
pub mod proc;
mod stream;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

pub use stream::Stream;

/// Bytes that may be under way in each direction of a connection in memory.
const PIPE_BYTES: usize = 64 * 1024;

/// Where clients' own ports begin and end, as Linux has it.
const EPHEMERAL: (u16, u16) = (32_768, 60_999);

/// What connections are made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Medium {
    /// Pipes in memory, which virtual time needs.
    #[default]
    Memory,
    /// Sockets on loopback addresses.
    Sockets,
}

/// In which table a socket stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    /// `/proc/net/tcp`
    #[default]
    Tcp,
    /// `/proc/net/tcp6`, although it may well serve IPv4.
    Tcp6,
    /// `/proc/net/udp`. No byte is ever sent over one: they are there to be seen.
    Udp,
}

/// A socket's state, in the kernel's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Connected.
    Established = 0x01,
    /// Of UDP: takes from anybody.
    Unconnected = 0x07,
    /// Waits for connections.
    Listen = 0x0a,
}

/// A line of a socket table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Socket {
    /// This end.
    pub local: SocketAddr,
    /// The other end; port 0 for a listener.
    pub remote: SocketAddr,
    /// Its state.
    pub state: State,
    /// Its table.
    pub kind: Kind,
}

/// The TCP of a cluster; clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Tcp(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    medium: Medium,
    state: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    listeners: BTreeMap<(IpAddr, u16), Bound>,
    sockets: BTreeMap<IpAddr, BTreeMap<u64, Socket>>,
    made: u64,
    next_port: u16,
}

#[derive(Debug)]
struct Bound {
    v6: bool,
    way: Way,
}

/// How a listener is reached.
#[derive(Clone, Debug)]
enum Way {
    Memory(mpsc::UnboundedSender<Stream>),
    Socket(SocketAddr),
}

/// A line of a table, for as long as it is kept.
#[derive(Debug)]
pub struct Entry {
    tcp: Tcp,
    at: IpAddr,
    id: u64,
}

impl Drop for Entry {
    fn drop(&mut self) {
        let mut table = self.tcp.lock();
        if let Some(sockets) = table.sockets.get_mut(&self.at) {
            sockets.remove(&self.id);
            if sockets.is_empty() {
                table.sockets.remove(&self.at);
            }
        }
    }
}

impl Tcp {
    /// Nobody listens yet.
    pub fn new(medium: Medium) -> Self {
        Self(Arc::new(Shared { medium, state: Mutex::default() }))
    }

    /// Listens on a port of an address; `v6` makes it the kind of socket that shows up in `/proc/net/tcp6`.
    ///
    /// # Errors
    /// `EADDRINUSE`; of sockets also what the system says.
    pub async fn listen(&self, address: IpAddr, port: u16, v6: bool) -> io::Result<Listener> {
        let local = SocketAddr::new(address, port);
        let (way, inlet) = match self.0.medium {
            Medium::Memory => {
                let (send, accepted) = mpsc::unbounded_channel();
                (Way::Memory(send), Inlet::Memory(accepted))
            }
            Medium::Sockets => {
                let listener = TcpListener::bind((loopback(address), 0)).await?;
                (Way::Socket(listener.local_addr()?), Inlet::Socket(listener))
            }
        };
        {
            let mut table = self.lock();
            if table.listeners.contains_key(&(address, port)) {
                return Err(io::Error::from(io::ErrorKind::AddrInUse));
            }
            table.listeners.insert((address, port), Bound { v6, way });
        }
        let nobody = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);
        let entry = self.enter(Socket { local, remote: nobody, state: State::Listen, kind: kind(v6) });
        Ok(Listener { tcp: self.clone(), local, v6, inlet, _entry: entry })
    }

    /// Whether somebody listens there.
    pub fn listens(&self, to: SocketAddr) -> bool {
        self.lock().listeners.contains_key(&(to.ip(), to.port()))
    }

    /// Connects from an address to a listener.
    ///
    /// # Errors
    /// `ECONNREFUSED` where nobody listens; of sockets also what the system says.
    pub async fn connect(&self, from: IpAddr, to: SocketAddr) -> io::Result<Stream> {
        let refused = || io::Error::from(io::ErrorKind::ConnectionRefused);
        let (way, v6, port) = {
            let mut table = self.lock();
            let bound = table.listeners.get(&(to.ip(), to.port())).ok_or_else(refused)?;
            let (way, v6) = (bound.way.clone(), bound.v6);
            (way, v6, table.ephemeral())
        };
        let here = SocketAddr::new(from, port);
        let near_entry = self.enter(Socket { local: here, remote: to, state: State::Established, kind: Kind::Tcp });
        match way {
            Way::Memory(send) => {
                let (near, far) = tokio::io::duplex(PIPE_BYTES);
                let far_entry =
                    self.enter(Socket { local: to, remote: here, state: State::Established, kind: kind(v6) });
                // Whoever listens may have gone since.
                send.send(Stream::memory(far, here, far_entry)).map_err(|_| refused())?;
                Ok(Stream::memory(near, to, near_entry))
            }
            Way::Socket(address) => {
                let socket = TcpStream::connect(address).await?;
                socket.set_nodelay(true)?;
                Ok(Stream::socket(socket, to, near_entry))
            }
        }
    }

    /// Keeps a line in a table for a connection whose bytes nobody looks at.
    pub fn enter(&self, socket: Socket) -> Entry {
        let at = socket.local.ip();
        let mut table = self.lock();
        table.made += 1;
        let id = table.made;
        table.sockets.entry(at).or_default().insert(id, socket);
        Entry { tcp: self.clone(), at, id }
    }

    /// The sockets of an address: listeners and connections, oldest first.
    pub fn sockets(&self, address: IpAddr) -> Vec<(u64, Socket)> {
        let table = self.lock();
        table.sockets.get(&address).into_iter().flatten().map(|(id, socket)| (*id, *socket)).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    /// A client's port. They repeat after some ten thousand, as they do on a machine.
    fn ephemeral(&mut self) -> u16 {
        let (first, last) = EPHEMERAL;
        let port = self.next_port.max(first);
        self.next_port = if port == last { first } else { port + 1 };
        port
    }
}

fn kind(v6: bool) -> Kind {
    if v6 { Kind::Tcp6 } else { Kind::Tcp }
}

/// The loopback address that stands for a Pod's: the same but for its first number, so that each Pod has its own.
fn loopback(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(address) => {
            let [_, a, b, c] = address.octets();
            Ipv4Addr::new(127, a, b, c).into()
        }
        IpAddr::V6(_) => Ipv4Addr::LOCALHOST.into(),
    }
}

/// Where connections come in. Dropping it closes the port; connections that were accepted go on.
#[derive(Debug)]
pub struct Listener {
    tcp: Tcp,
    local: SocketAddr,
    v6: bool,
    inlet: Inlet,
    _entry: Entry,
}

#[derive(Debug)]
enum Inlet {
    Memory(mpsc::UnboundedReceiver<Stream>),
    Socket(TcpListener),
}

impl Listener {
    /// Where it listens.
    pub fn local(&self) -> SocketAddr {
        self.local
    }

    /// The next connection.
    ///
    /// # Errors
    /// What the system says of a socket; a listener in memory has none.
    pub async fn accept(&mut self) -> io::Result<Stream> {
        match &mut self.inlet {
            // The table holds the other end for as long as this listens.
            Inlet::Memory(accepted) => accepted.recv().await.ok_or_else(|| io::ErrorKind::ConnectionAborted.into()),
            Inlet::Socket(listener) => {
                let (socket, peer) = listener.accept().await?;
                socket.set_nodelay(true)?;
                let (local, v6) = (self.local, self.v6);
                let entry = self.tcp.enter(Socket { local, remote: peer, state: State::Established, kind: kind(v6) });
                Ok(Stream::socket(socket, peer, entry))
            }
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.tcp.lock().listeners.remove(&(self.local.ip(), self.local.port()));
    }
}
