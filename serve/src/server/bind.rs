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
/// systems, for the sake of programs older than we are. Tells how many that are.
pub(super) fn raise_file_limit() -> usize {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    // The soft limit may always be raised so far; where it is not, fewer connections are accepted.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    let files = getrlimit(Resource::Nofile).current;
    files.map_or(usize::MAX, |files| usize::try_from(files).unwrap_or(usize::MAX))
}

/// Files that a server leaves to the rest of its process, if there are twice as many.
const SPARE: usize = 2_048;

/// Connections that a server may have of `wanted`, in a process that may open so many `files`. The
/// rest of the process (databases, other servers, connections to upstreams) fails in worse ways
/// without files than a client does who is told to come back.
pub(super) fn affordable(wanted: usize, files: usize) -> usize {
    let most = (files - SPARE.min(files / 2)).max(1);
    if most < wanted {
        tracing::warn!(
            wanted,
            most,
            files,
            "fewer connections than configured: too few files may be opened (ulimit -n)"
        );
    }
    wanted.min(most)
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
    fn some_files_are_left_to_others() {
        assert_eq!(affordable(16_384, 1 << 20), 16_384);
        assert_eq!(affordable(16_384, 10_000), 10_000 - SPARE);
        assert_eq!(affordable(16_384, 1_024), 512);
        assert_eq!(affordable(100, 1_024), 100);
        assert_eq!(affordable(100, 0), 1);
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
