//! Follows a service in etcd and prints its members as they come and go; with an address, also registers it until Ctrl-C.
//!
//! ```sh
//! cargo run -p kamaitachi-discovery --example members -- 127.0.0.1:2379
//! cargo run -p kamaitachi-discovery --example members -- 127.0.0.1:2379 127.0.0.1:8081
//! ```

use std::error::Error;

use kamaitachi_discovery::{
    etcd,
    follow::{self, Settings},
    register::{Registration, Service},
};

const SERVICE: &str = "kamaitachi-slave";

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let endpoint = arguments.next().ok_or("which etcd? Such as 127.0.0.1:2379")?;
    let etcd = etcd::Settings::new([endpoint]);
    let registration = match arguments.next() {
        Some(addr) => {
            let service = Service { name: SERVICE.to_owned(), addr: addr.parse()? };
            Some(Registration::start(etcd.clone(), service))
        }
        None => None,
    };
    let found = follow::start(etcd, Settings::new(SERVICE), Vec::new());
    let mut members = found.members();
    loop {
        tokio::select! {
            changed = members.changed() => changed?,
            stop = tokio::signal::ctrl_c() => {
                stop?;
                break;
            }
        }
        let now = members.borrow_and_update().clone();
        println!("{now:?} ({})", found.health().origin);
    }
    if let Some(registration) = registration {
        registration.deregister().await;
    }
    Ok(())
}
