use std::collections::BTreeMap;

use tokio_util::sync::CancellationToken;

use crate::cluster::embedded::node::containers::Live;
use crate::cluster::embedded::node::files::{Changes, Files};
use crate::cluster::embedded::node::program::PodNetwork;
use crate::cluster::embedded::node::tcp::{Medium, Tcp};

struct Container {
    live: Live,
    _root: tempfile::TempDir,
}

fn container() -> Container {
    let root = tempfile::tempdir().expect("a directory");
    let files = Files::container(root.path().to_owned(), false, Vec::new(), 0, Changes::new());
    let network = PodNetwork::new(Tcp::new(Medium::Memory), "10.244.0.2".parse().expect("an address"));
    let live = Live {
        env: BTreeMap::from([("PORT".to_owned(), "8080".to_owned())]),
        files,
        network,
        signal: CancellationToken::new(),
        ended: CancellationToken::new(),
        has_commands: true,
    };
    Container { live, _root: root }
}

async fn run(container: &Container, command: &[&str]) -> (i32, String) {
    let command = command.iter().map(|word| (*word).to_owned()).collect();
    container.live.clone().output_of(command).await.expect("a command of the image")
}

#[tokio::test(start_paused = true)]
async fn commands_answer_as_those_of_a_slim_image() {
    let container = container();
    let _listener = container.live.network.listen(8080, false).await.expect("a free port");
    let cases: [(&[&str], i32, &str); 12] = [
        (&["sh", "-c", "echo ready > /tmp-x && cat /tmp-x"], 0, "ready\n"),
        (&["cat", "/tmp-x"], 0, "ready\n"),
        (&["cat", "/nowhere"], 1, "cat: can't open '/nowhere': No such file or directory\n"),
        (&["/bin/sh", "-c", "test -f /tmp-x || echo none"], 0, ""),
        (&["sh", "-c", "rm /tmp-x; [ -f /tmp-x ] || echo none"], 0, "none\n"),
        (&["sh", "-c", "curl localhost:$PORT"], 127, "sh: curl: not found\n"),
        (&["sh", "-c", "exit 3"], 3, ""),
        (&["sh", "-c", "false 2>/dev/null; sleep 1h; echo $PORT"], 0, "8080\n"),
        (&["nc", "-z", "localhost", "8080"], 0, ""),
        (&["nc", "-z", "localhost", "8081"], 1, ""),
        (&["printenv", "PORT"], 0, "8080\n"),
        (&["kill", "2"], 1, "kill: can't kill pid 2: No such process\n"),
    ];
    for (command, code, text) in cases {
        assert_eq!(run(&container, command).await, (code, text.to_owned()), "{command:?}");
    }
    let (_, sockets) = run(&container, &["cat", "/proc/net/tcp"]).await;
    assert!(sockets.contains(" 00000000:1F90 00000000:0000 0A "), "the listener: {sockets}");
    run(&container, &["kill", "-TERM", "1"]).await;
    assert!(container.live.signal.is_cancelled());
}

#[tokio::test(start_paused = true)]
async fn a_command_that_the_image_does_not_have_cannot_be_started_and_one_that_runs_dies_with_its_container() {
    let mut container = container();
    let missing = container.live.clone().output_of(vec!["curl".to_owned()]).await;
    assert!(missing.is_err_and(|why| why.to_string().contains("executable file not found")));
    let ended = container.live.ended.clone();
    let sleep = run(&container, &["sleep", "infinity"]);
    let end = async { ended.cancel() };
    let ((code, _), ()) = tokio::join!(sleep, end);
    assert_eq!(code, 137);
    container.live.has_commands = false;
    let distroless = container.live.clone().output_of(vec!["cat".to_owned()]).await;
    assert!(distroless.is_err(), "an image without a shell has no cat either");
}

#[tokio::test(start_paused = true)]
async fn a_command_fills_neither_memory_nor_the_node() {
    let container = container();
    let megabyte = vec![b'x'; 1024 * 1024];
    container.live.files.write("/mega", &megabyte, 0o644).expect("room");
    let full = "cat: write error: No space left on device\n";
    let (code, text) = run(&container, &["sh", "-c", "cat /mega /mega /mega /mega /mega >/dev/null"]).await;
    assert_eq!((code, text.as_str()), (1, full), "what a command prints");
    let grow = "cat /mega /mega /mega > /big && cat /mega /mega >> /big";
    let (code, text) = run(&container, &["sh", "-c", grow]).await;
    assert_eq!((code, text.as_str()), (1, "sh: can't create /big: No space left on device\n"), "a file");
    let (code, text) = run(&container, &["cat", "/mega"]).await;
    assert_eq!((code, text.len()), (0, 10 * 1024), "what a probe keeps of it");
}
