use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

use super::*;

/// A relay between two connections: the ends that its peers hold, and what becomes of it.
fn start(buffer: usize) -> (DuplexStream, DuplexStream, JoinHandle<(End, [u64; 2])>) {
    let (app, mut caller) = duplex(buffer);
    let (mut callee, server) = duplex(buffer);
    let relaying = tokio::task::spawn_local(async move {
        let passed = Passed::new(Arc::default());
        let end = relay(&Scratch::default(), &mut caller, &mut callee, &passed).await;
        (end, passed.bytes())
    });
    (app, server, relaying)
}

async fn local<T>(test: impl Future<Output = T>) -> T {
    tokio::task::LocalSet::new().run_until(test).await
}

#[tokio::test]
async fn an_end_of_one_direction_is_passed_on_while_the_other_goes_on() {
    local(async {
        let (mut app, mut server, relaying) = start(64);
        app.write_all(b"question").await.unwrap();
        app.shutdown().await.unwrap();
        let mut question = String::new();
        server.read_to_string(&mut question).await.unwrap();
        assert_eq!(question, "question");
        // Only now, when the server has seen the end, does it answer.
        server.write_all(b"answer").await.unwrap();
        server.shutdown().await.unwrap();
        let mut answer = String::new();
        app.read_to_string(&mut answer).await.unwrap();
        assert_eq!(answer, "answer");
        assert!(matches!(relaying.await.unwrap(), (End::Complete, [8, 6])));
    })
    .await;
}

#[tokio::test]
async fn all_bytes_arrive_both_ways_at_once_over_small_buffers() {
    local(async {
        let (app, server, relaying) = start(1000);
        let sent: Vec<u8> = (0..1_000_000_u32).map(|n| (n % 251) as u8).collect();
        let both = [app, server].map(|end| {
            let sent = sent.clone();
            async move {
                let (mut read, mut write) = tokio::io::split(end);
                let writing = async {
                    write.write_all(&sent).await.unwrap();
                    write.shutdown().await.unwrap();
                };
                let mut received = Vec::new();
                let (read, ()) = tokio::join!(read.read_to_end(&mut received), writing);
                read.unwrap();
                assert!(received == sent);
            }
        });
        futures_util::future::join_all(both).await;
        assert!(matches!(relaying.await.unwrap(), (End::Complete, [1_000_000, 1_000_000])));
    })
    .await;
}

#[tokio::test]
async fn who_does_not_read_holds_the_other_up() {
    local(async {
        let (mut app, server, relaying) = start(1000);
        let writing = async {
            loop {
                app.write_all(&[7; 1000]).await.unwrap();
            }
        };
        // Everything that can go on has gone on when the writer alone is left waiting.
        let mut writing = std::pin::pin!(writing);
        let mut turns = 0;
        poll_fn(|cx| {
            let _: Poll<()> = writing.as_mut().poll(cx);
            turns += 1;
            if turns == 1000 {
                Poll::Ready(())
            } else {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
        })
        .await;
        drop(server);
        let (end, [forth, _]) = relaying.await.unwrap();
        assert!(matches!(end, End::Callee(_)));
        assert!(forth <= 2000 + BUFFER_BYTES as u64, "{forth}");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn silence_ends_a_connection_and_a_byte_now_and_then_does_not() {
    local(async {
        let (mut app, mut server, relaying) = start(64);
        for _ in 0..10 {
            tokio::time::sleep(IDLE / 2).await;
            app.write_all(b"x").await.unwrap();
            server.read_exact(&mut [0]).await.unwrap();
        }
        let last = tokio::time::Instant::now();
        assert!(matches!(relaying.await.unwrap(), (End::Idle, [10, 0])));
        let idle = last.elapsed();
        assert!(idle >= IDLE && idle <= IDLE + IDLE / IDLE_CHECKS, "{idle:?}");
    })
    .await;
}

/// Two ends of a real connection.
async fn connected() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let near = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    (near, listener.accept().await.unwrap().0)
}

#[tokio::test]
async fn a_connection_that_breaks_off_does_not_look_like_one_that_ended() {
    local(async {
        let ((mut app, mut caller), (mut callee, mut server)) = (connected().await, connected().await);
        let relaying = tokio::task::spawn_local(async move {
            let passed = Passed::new(Arc::default());
            let end = relay(&Scratch::default(), &mut caller, &mut callee, &passed).await;
            break_off(&caller);
            end
        });
        server.write_all(b"half of").await.unwrap();
        app.read_exact(&mut [0; 7]).await.unwrap();
        break_off(&server);
        drop(server);
        let error = app.read_to_end(&mut Vec::new()).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
        assert!(matches!(relaying.await.unwrap(), End::Callee(_)));
    })
    .await;
}
