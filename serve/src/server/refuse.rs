//! Turns clients away who find no place, so that they hear why.

use std::{cell::Cell, io::ErrorKind, rc::Rc, time::Duration};

use tokio::{io::AsyncWriteExt as _, net::TcpStream, time::timeout};

use crate::refusal::Refusal;

/// How many connections of a worker may wait for their clients at a time. They have files of their
/// own, so beyond that a client is cut off at once.
const MOST: usize = 8;
/// How long one waits.
const LINGER: Duration = Duration::from_secs(1);
/// How much is read of what a client sends meanwhile, in bytes.
const WASTE: usize = 64 << 10;

/// The clients of one worker that are being turned away.
#[derive(Debug, Default)]
pub(super) struct Turned(Cell<usize>);

impl Turned {
    /// Answers 503 and closes. A connection that is closed while a request is on its way would be
    /// reset, and the reset would take the answer along: so the client has a moment to read it.
    pub(super) fn away(self: &Rc<Self>, mut stream: TcpStream) {
        // A courtesy: a full server does not wait for anyone to take it.
        if stream.try_write(&Refusal::full().render()).is_err() || self.0.get() == MOST {
            return;
        }
        self.0.set(self.0.get() + 1);
        let this = Rc::clone(self);
        tokio::task::spawn_local(async move {
            // The client may be gone already; then there is nobody to tell.
            let _ = timeout(LINGER, async {
                stream.shutdown().await?;
                read_off(&stream).await
            })
            .await;
            this.0.set(this.0.get() - 1);
        });
    }
}

/// Reads what comes until the client closes, or has sent too much.
async fn read_off(stream: &TcpStream) -> std::io::Result<()> {
    let (mut left, mut waste) = (WASTE, [0; 1_024]);
    while left > 0 {
        stream.readable().await?;
        match stream.try_read(&mut waste) {
            Ok(0) => break,
            Ok(n) => left = left.saturating_sub(n),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
