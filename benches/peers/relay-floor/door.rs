//! HTTP as far as a WHIP or WHEP client needs it to come in: one request a connection, read to its end.

use std::{
    io::{self, Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use anyhow::Context as _;
use mio::net::TcpListener;

const PATIENCE: Duration = Duration::from_secs(2);

pub(crate) struct Door {
    listener: TcpListener,
}

impl Door {
    pub(crate) fn open() -> io::Result<Self> {
        Ok(Self { listener: TcpListener::bind((Ipv4Addr::LOCALHOST, 0).into())? })
    }

    pub(crate) fn listener(&mut self) -> &mut TcpListener {
        &mut self.listener
    }

    pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Answers whoever waits.
    pub(crate) fn serve(
        &mut self,
        mut open: impl FnMut(bool, &str, &str) -> anyhow::Result<String>,
    ) -> anyhow::Result<()> {
        loop {
            let stream = match self.listener.accept() {
                Ok((stream, _)) => std::net::TcpStream::from(stream),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error.into()),
            };
            stream.set_nonblocking(false)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            answer(stream, &mut open)?;
        }
    }
}

fn answer(
    mut stream: std::net::TcpStream,
    open: &mut impl FnMut(bool, &str, &str) -> anyhow::Result<String>,
) -> anyhow::Result<()> {
    let mut request = Vec::new();
    let mut piece = [0; 8_192];
    let (head, length) = loop {
        let read = stream.read(&mut piece)?;
        anyhow::ensure!(read > 0, "a request that ended early");
        request.extend_from_slice(&piece[..read]);
        let Some(end) = memchr::memmem::find(&request, b"\r\n\r\n") else { continue };
        let head = str::from_utf8(&request[..end])?;
        let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
        let length: usize = length.context("no length")?.parse()?;
        if request.len() >= end + 4 + length {
            break (end, length);
        }
    };
    let path = str::from_utf8(&request[..head])?.split(' ').nth(1).context("no path")?;
    let (place, name) = path.trim_start_matches('/').split_once('/').context("no stream")?;
    let sdp = open(place == "whip", name, str::from_utf8(&request[head + 4..head + 4 + length])?)?;
    let length = sdp.len();
    let response = format!(
        "HTTP/1.1 201 Created\r\nContent-Type: application/sdp\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{sdp}"
    );
    stream.write_all(response.as_bytes())?;
    Ok(())
}
