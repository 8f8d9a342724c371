//! Thousands of connections that are opened and dropped: afterwards a sidecar holds what it held before.

use std::net::SocketAddr;

use tokio::{io::AsyncWriteExt, net::TcpStream, task::JoinSet};
use weft_tests::{census::Census, garbage::client_hello};

use crate::Town;

/// Connections of one storm.
const CONNECTIONS: usize = 10_000;
/// Of those at once.
const AT_ONCE: usize = 1_000;

/// Opens connections, a thousand at a time, says something on each, and drops them: half of them by a reset.
async fn storm(doors: &[SocketAddr], openings: &[Vec<u8>]) {
    for wave in 0..CONNECTIONS / AT_ONCE {
        let mut connecting = JoinSet::new();
        for number in 0..AT_ONCE {
            let door = doors[number % doors.len()];
            let opening = openings[(number / doors.len() + wave) % openings.len()].clone();
            connecting.spawn(async move {
                let mut stream = TcpStream::connect(door).await.expect("somebody listens");
                // Some are answered and ended before they have said all.
                let _ = stream.write_all(&opening).await;
                stream
            });
        }
        let streams = connecting.join_all().await;
        for (number, stream) in streams.into_iter().enumerate() {
            if number % 2 == 0 {
                let _ = stream.set_zero_linger();
            }
        }
    }
}

#[tokio::test]
async fn ten_thousand_connections_leave_no_memory_behind() {
    let town = Town::start().await;
    let mesh = &town.mesh;
    let doors = [mesh.entrance("strict"), mesh.inbound("strict-0"), mesh.inbound("open-0")];
    let hello = client_hello(&mesh.roots());
    let openings = [
        Vec::new(),
        b"GET / HTTP/1.1\r\nhost: a\r\n\r\n".to_vec(),
        b"GET / HTTP/1.1\r\nhost: a\r\nx: ".to_vec(),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec(),
        hello[..hello.len() / 2].to_vec(),
        hello,
    ];
    // The first one brings every buffer and table to its size.
    storm(&doors, &openings).await;
    town.is_as_before().await;
    let warm = town.census();
    storm(&doors, &openings).await;
    town.is_as_before().await;
    for (process, before) in warm {
        let after = Census::of(mesh.pid(&process)).resident_kib;
        eprintln!("{process}: {} KiB before, {after} KiB after", before.resident_kib);
        assert!(
            after * 10 <= before.resident_kib * 12,
            "{process}: {} KiB, then {after} KiB",
            before.resident_kib
        );
    }
}
