//! A server of raw files on loopback, as a mirror of the reference's repository would be, with a script for what it does.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

/// A request as the mirror saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    /// The path.
    pub(crate) path: String,
    /// `If-None-Match`.
    pub(crate) etag: Option<String>,
}

/// What the mirror does about it.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    /// Answers: status, headers, body.
    Answer(u16, Vec<(&'static str, String)>, Vec<u8>),
    /// Closes the connection, as where there is no network.
    HangUp,
    /// Says nothing until the client goes away.
    Silence,
    /// Sends a body without end.
    Endless,
}

impl Reply {
    /// A file.
    pub(crate) fn file(body: impl Into<Vec<u8>>) -> Self {
        Self::Answer(200, Vec::new(), body.into())
    }

    /// A status without a word.
    pub(crate) fn status(status: u16) -> Self {
        Self::Answer(status, Vec::new(), Vec::new())
    }

    /// A redirect.
    pub(crate) fn to(url: impl Into<String>) -> Self {
        Self::Answer(302, vec![("Location", url.into())], Vec::new())
    }
}

/// The server.
#[derive(Debug)]
pub(crate) struct Mirror {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Mirror {
    /// Serves by a script: of a request, and how many of its path there were before.
    pub(crate) fn new(script: impl Fn(&Asked, usize) -> Reply + Send + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::<Mutex<Vec<Asked>>>::default();
        let log = Arc::clone(&asked);
        // It ends with the process of the test.
        thread::spawn(move || {
            for connection in listener.incoming() {
                let Ok(mut connection) = connection else { continue };
                let Some(request) = read(&mut connection) else { continue };
                let before = log.lock().unwrap().iter().filter(|asked| asked.path == request.path).count();
                log.lock().unwrap().push(request.clone());
                let reply = script(&request, before);
                thread::spawn(move || answer(&mut connection, &reply));
            }
        });
        Self { address, asked }
    }

    /// Its base URL.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The same under another name, which makes it another host.
    pub(crate) fn other_url(&self) -> String {
        format!("http://localhost:{}", self.address.port())
    }

    /// What was asked so far.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

fn read(connection: &mut TcpStream) -> Option<Asked> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        connection.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).ok()?;
    let mut lines = head.lines();
    let path = lines.next()?.split(' ').nth(1)?.to_owned();
    let etag = lines.find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("if-none-match").then(|| value.trim().to_owned())
    });
    Some(Asked { path, etag })
}

/// A client that goes away in the middle is the client's business.
fn answer(connection: &mut TcpStream, reply: &Reply) {
    match reply {
        Reply::Answer(status, headers, body) => {
            let length = body.len();
            let mut head = vec![format!("HTTP/1.1 {status} Said"), format!("Content-Length: {length}")];
            head.push("Connection: close".to_owned());
            head.extend(headers.iter().map(|(name, value)| format!("{name}: {value}")));
            let _ = connection.write_all(format!("{}\r\n\r\n", head.join("\r\n")).as_bytes());
            let _ = connection.write_all(body);
        }
        Reply::HangUp => {}
        Reply::Silence => {
            let _ = connection.read(&mut [0]);
        }
        Reply::Endless => {
            let _ = connection.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
            while connection.write_all(format!("1000\r\n{}\r\n", "x".repeat(0x1000)).as_bytes()).is_ok() {}
        }
    }
}
