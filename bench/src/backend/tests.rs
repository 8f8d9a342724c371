//! That each request gets its answer, however it comes.

use super::*;

fn connected() -> (Backend, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    (Backend::start(listener).unwrap(), TcpStream::connect(address).unwrap())
}

fn read_answer(stream: &mut TcpStream) {
    let mut got = vec![0; answer().len()];
    stream.read_exact(&mut got).unwrap();
    assert_eq!(got, answer());
}

#[test]
fn a_request_in_pieces_is_answered_once_and_two_at_once_twice() {
    let (_backend, mut stream) = connected();
    stream.set_nodelay(true).unwrap();
    for piece in ["GET / HT", "TP/1.1\r\nhost: a\r", "\n\r", "\n"] {
        stream.write_all(piece.as_bytes()).unwrap();
    }
    read_answer(&mut stream);
    stream.write_all(b"GET / HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n\r\n").unwrap();
    read_answer(&mut stream);
    read_answer(&mut stream);
}

#[test]
fn dropped_it_closes_its_connections() {
    let (backend, mut stream) = connected();
    stream.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    read_answer(&mut stream);
    drop(backend);
    assert_eq!(stream.read(&mut [0]).unwrap(), 0);
}
