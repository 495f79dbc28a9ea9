//! A client that blocks, with a connection for each request.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use serde_json::Value;

/// Longer than anything here takes on the busiest machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// What came back.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error} in {self:?}"))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    /// The `data` of an answer that must be a success.
    #[track_caller]
    pub(crate) fn data(&self) -> Value {
        assert_eq!(self.status, 200, "{self:?}");
        self.json()["data"].take()
    }

    /// Checks that it is this error, in words that hold all of `words`.
    #[track_caller]
    pub(crate) fn refused(&self, status: u16, words: &[&str]) {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(self.json()["data"], Value::Null);
        let unsaid = words.iter().find(|word| !self.body.contains(**word));
        assert_eq!(unsaid, None, "{self:?}");
    }
}

/// Sends a request and waits for the whole answer; `None` where the connection gave none.
pub(crate) fn ask(
    to: SocketAddr,
    method: &str,
    path: &str,
    head: &[(&str, &str)],
    body: &str,
) -> Option<Answer> {
    let stream = TcpStream::connect_timeout(&to, PATIENCE).ok()?;
    ask_on(stream, method, path, head, body)
}

/// The same on a connection that is there already.
pub(crate) fn ask_on(
    mut stream: TcpStream,
    method: &str,
    path: &str,
    head: &[(&str, &str)],
    body: &str,
) -> Option<Answer> {
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    let mut request = format!("{method} {path} HTTP/1.1\r\nhost: kamaitachi\r\n");
    for (name, value) in head {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    let length = body.len();
    request.push_str(&format!("connection: close\r\ncontent-length: {length}\r\n\r\n{body}"));
    stream.write_all(request.as_bytes()).ok()?;
    read_answer(stream)
}

/// Reads to the end of the connection what must be one whole answer.
pub(crate) fn read_answer(mut stream: TcpStream) -> Option<Answer> {
    let mut bytes = Vec::new();
    // An answer that came before a reset counts.
    let _ = stream.read_to_end(&mut bytes);
    let text = String::from_utf8(bytes).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let answer = Answer { status, head: head.to_owned(), body: body.to_owned() };
    let length = answer.header("content-length").map(str::parse);
    length.is_none_or(|length| length == Ok(body.len())).then_some(answer)
}
