//! Listening sockets: one for each worker, all on one address.

use std::{
    io,
    net::{SocketAddr, TcpListener},
};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use socket2::{Domain, Protocol, Socket, Type};

/// Binds `count` listeners to `address`. Port 0 becomes one free port, the same for all.
///
/// Listeners that share a port let a second process share it too, unnoticed; so a bind that
/// shares nothing is tried first, and fails if anyone listens there.
pub(super) fn bind(
    address: SocketAddr,
    count: usize,
    backlog: u32,
) -> io::Result<Vec<TcpListener>> {
    if address.port() != 0 {
        drop(socket(address, false)?);
    }
    let backlog = i32::try_from(backlog).unwrap_or(i32::MAX);
    let mut listeners: Vec<TcpListener> = Vec::with_capacity(count);
    for _ in 0..count.max(1) {
        let address = listeners.first().map_or(Ok(address), TcpListener::local_addr)?;
        let socket = socket(address, true)?;
        socket.listen(backlog)?;
        socket.set_nonblocking(true)?;
        listeners.push(socket.into());
    }
    Ok(listeners)
}

/// Lets this process open as many files as its hard limit allows: the soft limit is 1,024 on many
/// systems, for the sake of programs older than we are.
pub(super) fn raise_file_limit() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    // The soft limit may always be raised so far; where it is not, fewer connections are accepted.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
}

fn socket(address: SocketAddr, shared: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // Lets a restarted process bind while old connections linger in TIME_WAIT.
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(shared)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loopback() -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], 0))
    }

    #[test]
    fn all_listeners_share_the_port_that_the_first_was_given() {
        let listeners = bind(loopback(), 3, 16).unwrap();
        let ports: Vec<_> = listeners.iter().map(|l| l.local_addr().unwrap().port()).collect();
        assert!(ports[0] != 0 && ports.iter().all(|port| *port == ports[0]), "{ports:?}");
    }

    #[test]
    fn the_soft_limit_on_files_becomes_the_hard_one() {
        raise_file_limit();
        let limit = getrlimit(Resource::Nofile);
        assert_eq!(limit.current, limit.maximum);
    }

    #[test]
    fn a_second_server_on_the_same_port_fails_instead_of_sharing_it() {
        let first = bind(loopback(), 2, 16).unwrap();
        let taken = first[0].local_addr().unwrap();
        let error = bind(taken, 2, 16).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        drop(first);
        bind(taken, 2, 16).unwrap();
    }
}
