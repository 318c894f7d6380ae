use std::net::{IpAddr, SocketAddr};

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{Medium, State, Tcp};

const POD: &str = "10.244.1.2";
const CLIENT: &str = "10.244.2.3";

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

fn established(tcp: &Tcp, at: &str) -> usize {
    tcp.sockets(ip(at)).iter().filter(|(_, socket)| socket.state == State::Established).count()
}

async fn a_connection_stands_in_both_tables_while_it_is_open(medium: Medium) {
    let tcp = Tcp::new(medium);
    let to = SocketAddr::new(ip(POD), 8080);
    let refused = tcp.connect(ip(CLIENT), to).await.expect_err("nobody listens");
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
    let mut listener = tcp.listen(ip(POD), 8080, false).await.expect("a free port");
    let taken = tcp.listen(ip(POD), 8080, false).await.expect_err("taken");
    assert_eq!(taken.kind(), std::io::ErrorKind::AddrInUse);
    let mut near = tcp.connect(ip(CLIENT), to).await.expect("somebody listens");
    let mut far = listener.accept().await.expect("a connection");
    assert_eq!((established(&tcp, POD), established(&tcp, CLIENT)), (1, 1));
    near.write_all(b"ping").await.expect("open");
    let mut heard = [0; 4];
    far.read_exact(&mut heard).await.expect("open");
    assert_eq!(&heard, b"ping");
    drop(far);
    assert_eq!(near.read(&mut heard).await.expect("the end"), 0, "the other end is gone");
    drop(near);
    drop(listener);
    assert!(tcp.sockets(ip(POD)).is_empty() && tcp.sockets(ip(CLIENT)).is_empty());
    assert!(!tcp.listens(to));
}

#[tokio::test(start_paused = true)]
async fn in_memory_a_connection_stands_in_both_tables_while_it_is_open() {
    a_connection_stands_in_both_tables_while_it_is_open(Medium::Memory).await;
}

#[tokio::test]
async fn on_sockets_a_connection_stands_in_both_tables_while_it_is_open() {
    a_connection_stands_in_both_tables_while_it_is_open(Medium::Sockets).await;
}
