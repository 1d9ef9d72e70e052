//! A TCP proxy that appears when told to.

#![expect(clippy::unwrap_used, reason = "a test fails where its tools do")]

use tokio::net::{TcpListener, TcpStream};

/// A free port on the loopback interface, nobody listening.
pub async fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap().port()
}

/// Forwards `port` to `target` from now until the test's runtime ends.
pub async fn forward(port: u16, target: String) {
    let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
    tokio::spawn(async move {
        while let Ok((mut near, _)) = listener.accept().await {
            let target = target.clone();
            tokio::spawn(async move {
                let mut far = TcpStream::connect(target).await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
            });
        }
    });
}
