//! Slow, huge and many requests neither hold the server nor exhaust it.

use std::{net::SocketAddr, time::Duration};

use chrono::TimeDelta;
use scimitar::web::Limits;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{
    sample,
    site::{Stand, soon},
};

const ASK: &[u8] = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// What comes until the connection is closed; a reset is an end like any other.
async fn rest(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    drop(stream.read_to_end(&mut bytes).await);
    String::from_utf8_lossy(&bytes).into_owned()
}

async fn send(address: SocketAddr, bytes: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    stream
}

/// Lets time pass until this has come.
async fn until<T>(stand: &Stand, future: impl Future<Output = T>) -> T {
    let mut future = std::pin::pin!(future);
    soon(async {
        loop {
            let waited = tokio::time::timeout(Duration::from_millis(20), &mut future).await;
            if let Ok(done) = waited {
                return done;
            }
            stand.clock.pass(TimeDelta::seconds(1));
        }
    })
    .await
}

#[tokio::test]
async fn a_request_that_does_not_come_in_is_cut_off() {
    let stand = Stand::of(&[], &[]).await;
    for begun in [&b""[..], b"GET /liv", b"GET /livez HTTP/1.1\r\nHost: localhost\r\nX: "] {
        let mut stream = send(stand.address, begun).await;
        let answer = until(&stand, rest(&mut stream)).await;
        assert!(!answer.contains(" 200 "), "{answer}");
    }
    assert!(stand.get("/livez").await.0 > 0, "it serves on");
}

#[tokio::test]
async fn hundreds_who_say_nothing_keep_nobody_out() {
    let limits = Limits { connections: 2, ..Limits::default() };
    let stand = Stand::with(&[], &[], limits, "127.0.0.1:0").await;
    let mut silent = Vec::new();
    for number in 0..100 {
        silent.push(send(stand.address, if number % 2 == 0 { b"" } else { b"GET /li" }).await);
        if number % 25 == 0 {
            let mut asks = send(stand.address, ASK).await;
            // No time passes meanwhile: nobody is late.
            let answer = soon(rest(&mut asks)).await;
            assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        }
    }
    // Whoever was in for longest made room.
    assert_eq!(soon(rest(silent.first_mut().unwrap())).await, "");
    for stream in &mut silent {
        until(&stand, rest(stream)).await;
    }
}

#[tokio::test]
async fn a_huge_head_is_cut_off_and_a_body_is_not_read() {
    let stand = Stand::of(&[], &[]).await;
    let huge =
        format!("GET /livez HTTP/1.1\r\nHost: localhost\r\nX: {}\r\n\r\n", "x".repeat(40_000));
    let mut stream = TcpStream::connect(stand.address).await.unwrap();
    drop(stream.write_all(huge.as_bytes()).await);
    let answer = soon(rest(&mut stream)).await;
    assert!(!answer.contains(" 200 "), "{answer}");
    let many = (0..1_000).map(|index| format!("H{index}: x\r\n")).collect::<String>();
    let mut stream = TcpStream::connect(stand.address).await.unwrap();
    drop(stream.write_all(format!("GET /livez HTTP/1.1\r\n{many}\r\n").as_bytes()).await);
    let answer = soon(rest(&mut stream)).await;
    assert!(!answer.contains(" 200 "), "{answer}");
    // The answer comes although the body never does.
    for (verb, status) in [("POST", "405"), ("GET", "200")] {
        let head = format!(
            "{verb} /livez HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000000000\r\n\r\n{{"
        );
        let mut stream = send(stand.address, head.as_bytes()).await;
        let answer = soon(rest(&mut stream)).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
    }
    let mut stream = send(stand.address, b"\x16\x03\x01\x02\x00\x01 not HTTP at all\r\n\r\n").await;
    let answer = soon(rest(&mut stream)).await;
    assert!(!answer.contains(" 200 "), "{answer}");
    assert_eq!(stand.get("/livez").await.0, 200);
}

#[tokio::test]
async fn a_connection_carries_one_request() {
    let stand = Stand::of(&[], &[]).await;
    let mut stream = send(stand.address, &[ASK, ASK].concat()).await;
    let answer = soon(rest(&mut stream)).await;
    assert_eq!(answer.matches("HTTP/1.1").count(), 1, "{answer}");
}

#[tokio::test]
async fn an_answer_that_is_not_read_is_cut_off() {
    // More than the system's own buffers take.
    let mut wordy = sample::retiring("wordy");
    wordy.warnings = (0..3_000).map(|index| format!("{index}: {}", "w".repeat(4_000))).collect();
    let limits = Limits { connections: 1, ..Limits::default() };
    let stand = Stand::with(&[wordy], &[], limits, "127.0.0.1:0").await;
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(2_048).unwrap();
    let mut stream = socket.connect(stand.address).await.unwrap();
    stream.write_all(b"GET /c/wordy HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    soon(stream.readable()).await.unwrap();
    let mut other = send(stand.address, ASK).await;
    let too_early = tokio::time::timeout(Duration::from_millis(200), other.readable()).await;
    assert!(too_early.is_err(), "the answer was sent although nobody read it");
    let answer = until(&stand, rest(&mut other)).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    drop(stream);
}

#[tokio::test]
async fn the_end_waits_for_nobody_who_has_not_asked() {
    let stand = Stand::of(&[], &[]).await;
    let mut idle = send(stand.address, b"GET /li").await;
    assert_eq!(stand.get("/livez").await.0, 200);
    stand.stop.cancel();
    assert_eq!(soon(rest(&mut idle)).await, "");
    soon(async {
        while !stand.serving.is_finished() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert!(TcpStream::connect(stand.address).await.is_err(), "the port is closed");
}
