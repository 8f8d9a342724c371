use std::{cell::Cell, future::poll_fn, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
    task::{LocalSet, spawn_local, yield_now},
};

use super::*;

/// Counts how often something is written.
struct Counted<S> {
    io: S,
    writes: Rc<Cell<u32>>,
}

impl<S: AsyncRead + Unpin> AsyncRead for Counted<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Counted<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write(cx, buf);
        if let Poll::Ready(Ok(_)) = &written {
            self.writes.set(self.writes.get() + 1);
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

struct Rig {
    near: Gathered<Counted<DuplexStream>>,
    far: DuplexStream,
    writes: Rc<Cell<u32>>,
    company: Company,
    flush: tokio::task::JoinHandle<()>,
}

fn rig(pipe_bytes: usize) -> Rig {
    let (io, far) = duplex(pipe_bytes);
    let writes = Rc::<Cell<u32>>::default();
    let company = Company::default();
    let (near, flush) = gathered(Counted { io, writes: Rc::clone(&writes) }, company.clone());
    Rig { near, far, writes, company, flush: spawn_local(flush) }
}

async fn local(test: impl Future<Output = ()>) {
    LocalSet::new().run_until(test).await;
}

async fn read(far: &mut DuplexStream, bytes: usize) -> Vec<u8> {
    let mut read = vec![0; bytes];
    far.read_exact(&mut read).await.unwrap();
    read
}

fn say(near: &RefCell<Gathered<Counted<DuplexStream>>>, number: u8) {
    let written =
        Pin::new(&mut *near.borrow_mut()).poll_write(&mut Context::from_waker(Waker::noop()), &[number; 3]);
    assert!(matches!(written, Poll::Ready(Ok(3))));
}

async fn others_first() {
    let mut first = true;
    poll_fn(|cx| {
        cx.waker().wake_by_ref();
        if std::mem::take(&mut first) { Poll::Pending } else { Poll::Ready(()) }
    })
    .await;
}

#[tokio::test]
async fn what_several_have_to_say_goes_in_one_write() {
    local(async {
        let Rig { near, mut far, writes, company, .. } = rig(1024);
        let near = Rc::new(RefCell::new(near));
        let members = [company.join(), company.join()];
        for number in 0..5 {
            let near = Rc::clone(&near);
            spawn_local(async move {
                // Some have it later than others, but all of them before the thread would sleep.
                if number % 2 == 0 {
                    others_first().await;
                }
                say(&near, number);
            });
        }
        let mut heard = read(&mut far, 15).await;
        heard.sort_unstable();
        assert_eq!(heard, [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4]);
        assert_eq!(writes.get(), 1);
        drop(members);
    })
    .await;
}

#[tokio::test]
async fn who_is_alone_waits_for_nobody() {
    local(async {
        let Rig { near, mut far, writes, company, .. } = rig(1024);
        let near = Rc::new(RefCell::new(near));
        let mut writes_for_two = async || {
            writes.set(0);
            for number in 0..2 {
                let near = Rc::clone(&near);
                spawn_local(async move {
                    if number > 0 {
                        others_first().await;
                    }
                    say(&near, number);
                });
            }
            assert_eq!(read(&mut far, 6).await, [0, 0, 0, 1, 1, 1]);
            writes.get()
        };
        let member = company.join();
        assert_eq!(writes_for_two().await, 2);
        // The answer of one of two, whose request is over already.
        let other = company.join();
        drop(other);
        assert_eq!(writes_for_two().await, 1);
        // It has been sent, and there is one again.
        assert_eq!(writes_for_two().await, 2);
        drop(member);
        assert_eq!(writes_for_two().await, 2);
    })
    .await;
}

#[tokio::test]
async fn nothing_is_lost_or_out_of_order_where_the_peer_reads_slowly() {
    local(async {
        let Rig { mut near, mut far, flush, .. } = rig(100);
        let said: Vec<u8> = (0..300_000_u32).map(|at| (at % 251) as u8).collect();
        let writing = async {
            let mut left = said.as_slice();
            for size in [1, 7, 1000, 40_000, 100_000].into_iter().cycle() {
                let (now, later) = left.split_at(size.min(left.len()));
                near.write_all(now).await.unwrap();
                left = later;
                assert!(near.0.borrow().waiting.len() <= WAITING_BYTES_MAX);
                if left.is_empty() {
                    break;
                }
            }
            near.shutdown().await.unwrap();
            assert!(near.0.borrow().waiting.is_empty());
            drop(near);
        };
        let mut heard = Vec::new();
        let ((), read) = tokio::join!(writing, far.read_to_end(&mut heard));
        read.unwrap();
        assert!(heard == said);
        flush.await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_failure_is_told_to_who_writes_and_to_who_waits() {
    local(async {
        let Rig { mut near, far, flush, .. } = rig(100);
        let much = vec![0; WAITING_BYTES_MAX];
        near.write_all(&much).await.unwrap();
        let ends = async {
            yield_now().await;
            drop(far);
        };
        let (failed, ()) = tokio::join!(near.write_all(&much), ends);
        assert_eq!(failed.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
        assert_eq!(near.write(b"a").await.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
        assert_eq!(near.flush().await.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
        assert_eq!(near.shutdown().await.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
        flush.await.unwrap();
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_is_dropped_is_closed_whatever_waits() {
    local(async {
        // Nothing, something that was to go at the next turn, and more than the peer takes.
        for bytes in [0, 10, 1000] {
            let Rig { mut near, mut far, flush, .. } = rig(100);
            near.write_all(&vec![0; bytes]).await.unwrap();
            tokio::time::sleep(Duration::from_secs(1)).await;
            near.write_all(&vec![0; bytes]).await.unwrap();
            drop(near);
            flush.await.unwrap();
            let mut rest = Vec::new();
            far.read_to_end(&mut rest).await.unwrap();
            assert!(rest.len() >= bytes.min(100));
        }
    })
    .await;
}
