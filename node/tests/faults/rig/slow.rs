//! Clients that take their time, and clients that come in crowds.

use std::{
    io::{Read as _, Write as _},
    net::{IpAddr, SocketAddr, TcpStream},
    thread,
    time::Duration,
};

use socket2::{Domain, Socket, Type};

use super::http::{self, Answer, PATIENCE};

/// Sends `start`, then `x` for ever, a byte at a time; gives the answer that comes in spite of it.
pub(crate) fn drip(to: SocketAddr, start: &str) -> Option<Answer> {
    let stream = TcpStream::connect(to).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut writer = stream.try_clone().unwrap();
    writer.write_all(start.as_bytes()).unwrap();
    let dripping = thread::spawn(move || {
        while writer.write_all(b"x").is_ok() {
            thread::sleep(Duration::from_millis(20));
        }
    });
    let answer = http::read_answer(stream);
    dripping.join().unwrap();
    answer
}

/// Sends a request and takes as good as nothing of the answer until the server gives it up;
/// then tells how much had come.
pub(crate) fn sip(to: SocketAddr, request: &str, given_up: impl FnOnce()) -> usize {
    let socket = Socket::new(Domain::for_address(to), Type::STREAM, None).unwrap();
    // Before it connects, or the window is as large as ever.
    socket.set_recv_buffer_size(4_096).unwrap();
    socket.connect(&to.into()).unwrap();
    let mut stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    given_up();
    let mut rest = Vec::new();
    // It ends with a reset where bytes were still on their way.
    let _ = stream.read_to_end(&mut rest);
    rest.len()
}

/// A connection from an address of our own.
pub(crate) fn connect_from(from: IpAddr, to: SocketAddr) -> TcpStream {
    let socket = Socket::new(Domain::for_address(to), Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::new(from, 0).into()).unwrap();
    socket.connect(&to.into()).unwrap();
    socket.into()
}
