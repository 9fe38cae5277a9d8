//! The command `healthcheck`, for container engines that can run a program but cannot ask by HTTP.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::process::ExitCode;
use std::time::Duration;

use crate::{Service, Settings};

/// Longer than the readiness probe takes to give up on Postgres.
const PATIENCE: Duration = Duration::from_secs(2);

/// The longest status line that is read.
const STATUS_LINE_BYTES: u64 = 256;

/// Says on one line of standard error why the service is not ready, if it is not.
pub(crate) fn run(service: &Service, settings: &Settings) -> ExitCode {
    let address = reachable(settings.internal_listen);
    let obstacle = match status_line(address) {
        Ok(line) if line.split(' ').nth(1) == Some("200") => return ExitCode::SUCCESS,
        Ok(line) => line,
        Err(error) => error.to_string(),
    };
    eprintln!("{}: http://{address}/readyz: {obstacle}", service.name);
    ExitCode::FAILURE
}

/// The first line of the answer of `/readyz`.
fn status_line(address: SocketAddr) -> io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(stream, "GET /readyz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let mut line = String::new();
    BufReader::new(stream.take(STATUS_LINE_BYTES)).read_line(&mut line)?;
    Ok(line.trim_end().to_owned())
}

/// Where a listener can be reached from the same machine.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}
