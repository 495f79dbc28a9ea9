//! What the embedded cluster prints: where everything is, and what to try.

use std::{
    io::{self, Write as _},
    net::SocketAddr,
};

use super::data::Made;

/// Where everything is.
#[derive(Debug)]
pub(super) struct Addresses {
    pub(super) gateway: SocketAddr,
    pub(super) admin: SocketAddr,
    pub(super) master: SocketAddr,
    pub(super) slaves: Vec<SocketAddr>,
}

/// Prints the guide to standard output.
pub(super) fn print(at: &Addresses, made: &Made) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "\nKamaitachi is up. Ctrl-C ends it.\n")?;
    writeln!(out, "  gateway  http://{}   (clients)", at.gateway)?;
    writeln!(out, "  admin    http://{}   (metrics, health, breakers)", at.admin)?;
    writeln!(out, "  master   http://{}   {}", at.master, made.master().display())?;
    for (number, slave) in (1..).zip(&at.slaves) {
        writeln!(out, "  slave {number}  http://{slave}   {}", made.slave(number).display())?;
    }
    let gateway = at.gateway;
    // Where this program was built, the harness lies beside it.
    let beside = std::env::current_exe().ok().map(|own| own.with_file_name("kamaitachi-loadtest"));
    let harness = beside.filter(|path| path.exists()).unwrap_or("kamaitachi-loadtest".into());
    let harness = harness.display();
    writeln!(
        out,
        r#"
Try:

  # the newest figures of two companies
  curl -s http://{gateway}/data/kamaitachi/api/data/v1/snapshot \
    -H 'Content-Type: application/json' \
    -d '{{"subjects":"33:00000009,33:00000010","ids":"operating_income,net_profit"}}'

  # a year of one company
  curl -s http://{gateway}/data/kamaitachi/api/data/v1/period \
    -H 'Content-Type: application/json' \
    -d '{{"subjects":"33:00000009","from":1672531200,"to":1704067199}}'

  # how the caches do, over all nodes
  curl -s http://{gateway}/kamaitachi/api/data/v1/stats

  # load it
  {harness} --scenario 1 --requests 10000 --concurrent 50 \
    --target http://{gateway}/data --repeat 10 --verify --db {}
"#,
        made.master().display()
    )?;
    out.flush()
}
