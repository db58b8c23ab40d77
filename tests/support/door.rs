//! A door in front of a server, which a test shuts: whoever is behind it is cut off from that server alone.

use std::net::Ipv4Addr;

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
};

/// How a door stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Everything passes.
    Open,
    /// Nobody comes in, and whoever was in is thrown out.
    Refused,
    /// Nothing passes. What was sent meanwhile arrives when it opens, also from those who have left.
    Held,
    /// What is sent arrives, and no answer comes back before it opens.
    Mute,
}

/// A door that stands open until it is told otherwise; it ends with this.
#[derive(Debug)]
pub struct Door {
    pub port: u16,
    way: watch::Sender<Way>,
    task: JoinHandle<()>,
}

impl Door {
    /// A door to what listens at a port of this machine, now or later.
    pub async fn to(port: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let own = listener.local_addr().unwrap().port();
        let (way, seen) = watch::channel(Way::Open);
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(admit(client, port, seen.clone()));
            }
        });
        Self { port: own, way, task }
    }

    pub fn stands(&self, way: Way) {
        self.way.send_replace(way);
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn admit(client: TcpStream, port: u16, mut way: watch::Receiver<Way>) {
    let mut until_refused = way.clone();
    let passed = async {
        if way.wait_for(|way| *way != Way::Held).await.is_err() {
            return;
        }
        let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await else { return };
        let (answers, asks) = server.into_split();
        let (sent, told) = client.into_split();
        let to_server = carry(sent, asks, way.clone(), |way| matches!(way, Way::Open | Way::Mute));
        let to_client = carry(answers, told, way.clone(), |way| way == Way::Open);
        tokio::join!(to_server, to_client);
    };
    tokio::select! {
        () = passed => {}
        _ = until_refused.wait_for(|way| *way == Way::Refused) => {}
    }
}

async fn carry(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut way: watch::Receiver<Way>,
    passes: impl Fn(Way) -> bool,
) {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let read = from.read(&mut buffer).await.unwrap_or(0);
        if way.wait_for(|way| passes(*way)).await.is_err() {
            return;
        }
        if read == 0 {
            let _ = to.shutdown().await;
            return;
        }
        if to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
}
