//! A broker as a process of its own: `broker ADDRESS [DATA_FILE]`. Prints its address, then serves until
//! its standard input is closed.

use std::net::SocketAddr;

use swf_stomp::{Broker, BrokerConfig};
use tokio::io::AsyncReadExt;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let listen: SocketAddr = arguments.next().unwrap_or_else(|| "127.0.0.1:61613".into()).parse()?;
    let mut config = BrokerConfig::new(listen);
    config.data_file = arguments.next().map(Into::into);
    let broker = Broker::start(config).await?;
    println!("{}", broker.addr());
    let mut rest = Vec::new();
    tokio::io::stdin().read_to_end(&mut rest).await?;
    broker.shutdown().await;
    Ok(())
}
