//! Sockets that a supervisor keeps open from one process to the next: nobody is refused in between.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};

use crate::process::{Directory, PATIENCE};

/// As a supervisor starts it: the socket is descriptor 3, and the process is told so by its own number.
fn start(directory: &Directory, listener: &TcpListener) -> Child {
    let script = format!(
        "exec 3<&0 </dev/null; LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=gateway exec {}",
        env!("CARGO_BIN_EXE_turnpike")
    );
    let port = listener.local_addr().unwrap().port().to_string();
    let environment = [
        ("PORT", &*port),
        ("ADMIN_PORT", "0"),
        ("TURNPIKE_SHARDS", "2"),
        ("TURNPIKE_AUDIT_RESERVE_BYTES", "64KiB"),
    ];
    Command::new("sh")
        .args(["-c", &script])
        .current_dir(directory.path())
        .env_clear()
        .envs(environment)
        .stdin(OwnedFd::from(listener.try_clone().unwrap()))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

fn until_up(child: &mut Child) {
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    assert!(lines.into_iter().any(|line| line.starts_with('{')), "it did not say where it listens");
}

fn leave(mut child: Child) {
    let asked = Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
    assert!(asked.success());
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

fn request(stream: &mut TcpStream) -> String {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(b"GET /live HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn nobody_is_refused_between_two_processes() {
    let directory = Directory::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let mut first = start(&directory, &listener);
    until_up(&mut first);
    assert!(request(&mut TcpStream::connect(address).unwrap()).starts_with("HTTP/1.1 200"));
    leave(first);
    // Nobody serves now.
    let mut early: Vec<TcpStream> = (0..10).map(|_| TcpStream::connect(address).unwrap()).collect();
    let mut second = start(&directory, &listener);
    for stream in &mut early {
        assert!(request(stream).starts_with("HTTP/1.1 200"), "who came in between is served");
    }
    until_up(&mut second);
    leave(second);
}

#[test]
fn a_socket_that_listens_elsewhere_than_configured_is_no_start() {
    let directory = Directory::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let script =
        format!("exec 3<&0 </dev/null; LISTEN_PID=$$ LISTEN_FDS=1 exec {}", env!("CARGO_BIN_EXE_turnpike"));
    let output = Command::new("sh")
        .args(["-c", &script])
        .current_dir(directory.path())
        .env_clear()
        .envs([("PORT", "1"), ("ADMIN_PORT", "0")])
        .stdin(OwnedFd::from(listener))
        .output()
        .unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("LISTEN_FDS") && stderr.contains("is configured"), "{stderr}");
}
