//! Bytes that are not HTTP.

use std::net;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use weft_runtime::Tasks;
use weft_tests::{capture::Capture, patience::within, pods::Family};

use crate::{HTTP1, MYSQL, cluster, service};

/// What a server says before anybody has asked.
pub(crate) const GREETING: &[u8] = b"a greeting that nobody reads";

/// A server that speaks first, then says back what it hears until the caller has said all, and then one word more.
pub(crate) fn greeter(listener: net::TcpListener, greeting: &'static [u8]) -> Tasks {
    let tasks = Tasks::new();
    let listener = listener.set_nonblocking(true).and_then(|()| TcpListener::from_std(listener));
    let listener = listener.expect("it listens");
    tasks.spawn("greeter", async move {
        let connections = Tasks::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            connections.spawn("greeting", async move {
                // An error is the caller's going away.
                let _ = greet(&mut stream, greeting).await;
            });
        }
    });
    tasks
}

async fn greet(stream: &mut TcpStream, greeting: &[u8]) -> std::io::Result<()> {
    stream.write_all(greeting).await?;
    let (mut read, mut write) = stream.split();
    tokio::io::copy(&mut read, &mut write).await?;
    write.write_all(b"bye").await?;
    write.shutdown().await
}

/// Everything that a caller hears who waits for the greeting, says `words`, and then has said all.
async fn talk(mut stream: TcpStream, greeting: &[u8], words: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut heard = vec![0; greeting.len()];
    stream.read_exact(&mut heard).await?;
    stream.write_all(words).await?;
    stream.shutdown().await?;
    stream.read_to_end(&mut heard).await?;
    Ok(heard)
}

#[tokio::test]
async fn root_servers_that_speak_first_are_heard_and_half_closed_connections_go_on() {
    let test = "root_servers_that_speak_first_are_heard_and_half_closed_connections_go_on";
    let Some(cluster) = cluster(test).await else { return };
    let _strict = greeter(cluster.listen("strict", MYSQL), GREETING);
    let _bare = greeter(cluster.listen("bare", MYSQL), GREETING);
    let words: Vec<u8> = (0..=255).cycle().take(300_000).collect();
    for family in Family::ALL {
        for name in ["strict", "bare"] {
            let to = service(&cluster, name, family, MYSQL);
            let stream = cluster.connect("client", to).unwrap_or_else(|error| panic!("{to}: {error}"));
            let heard = within("the conversation ends", talk(stream, GREETING, &words)).await;
            let heard = heard.unwrap_or_else(|error| panic!("{name} {family:?}: {error}"));
            assert!(heard == [GREETING, &words, b"bye"].concat(), "{name} {family:?}: {} bytes", heard.len());
        }
    }
}

/// First bytes that are no HTTP, on a port of which nobody says what it speaks.
#[tokio::test]
async fn root_what_first_bytes_do_not_tell_is_passed_as_it_is() {
    let Some(cluster) = cluster("root_what_first_bytes_do_not_tell_is_passed_as_it_is").await else { return };
    let _echo = greeter(cluster.listen("strict", HTTP1), b"");
    for family in Family::ALL {
        let to = service(&cluster, "strict", family, HTTP1);
        let stream = cluster.connect("client", to).unwrap_or_else(|error| panic!("{to}: {error}"));
        let heard = within("the echo ends", talk(stream, b"", b"\x00\x01\x02 no HTTP \xff")).await;
        assert_eq!(
            heard.unwrap_or_else(|error| panic!("{family:?}: {error}")),
            b"\x00\x01\x02 no HTTP \xffbye"
        );
    }
}

#[tokio::test]
async fn root_nobody_on_the_bridge_reads_what_passes_between_sidecars() {
    let test = "root_nobody_on_the_bridge_reads_what_passes_between_sidecars";
    let Some(cluster) = cluster(test).await else { return };
    let _meshed = greeter(cluster.listen("strict", MYSQL), GREETING);
    let _bare = greeter(cluster.listen("bare", MYSQL), GREETING);
    for family in Family::ALL {
        for (name, is_plain) in [("strict", false), ("bare", true)] {
            let to = service(&cluster, name, family, MYSQL);
            let capture = cluster.node().run(Capture::start).expect("root may read packets");
            let stream = cluster.connect("client", to).unwrap_or_else(|error| panic!("{to}: {error}"));
            let talked = within("the conversation ends", talk(stream, GREETING, b"words")).await;
            talked.unwrap_or_else(|error| panic!("{name} {family:?}: {error}"));
            let read = capture.finish().of_port(to.port());
            assert!(!read.is_empty(), "{name} {family:?}: nothing was captured");
            // The same eyes read what goes to a pod without a sidecar.
            assert_eq!(read.holds(GREETING), is_plain, "{name} {family:?}");
        }
    }
}
