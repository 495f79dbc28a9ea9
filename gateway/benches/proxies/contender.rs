//! The proxies that do the same job: strip `/data`, hash the first of `subjects`, forward on kept-alive connections.
use std::{
    fs, io,
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

/// A kind of proxy, and how it is told what to do.
#[derive(Clone, Debug)]
pub(crate) struct Contender {
    pub(crate) name: &'static str,
    pub(crate) program: PathBuf,
    /// Files without which it can't do the job, and Debian's packages of them.
    needs: &'static [&'static str],
    packages: &'static str,
    config: fn(&Setting) -> String,
    arguments: fn(&Path) -> Vec<String>,
}

/// What a configuration says.
#[derive(Debug)]
pub(crate) struct Setting {
    port: u16,
    nodes: Vec<SocketAddr>,
    workers: usize,
    folder: PathBuf,
}

/// Those that are installed, the gateway first; says which are not.
pub(crate) fn all(gateway: PathBuf) -> Vec<Contender> {
    [
        Contender {
            name: "kamaitachi",
            program: gateway,
            needs: &[],
            packages: "",
            config: kamaitachi,
            arguments: |file| vec!["--config".into(), file.display().to_string()],
        },
        Contender {
            name: "haproxy",
            program: "/usr/sbin/haproxy".into(),
            needs: &[],
            packages: "haproxy",
            config: haproxy,
            arguments: |file| vec!["-db".into(), "-f".into(), file.display().to_string()],
        },
        Contender {
            name: "nginx+lua",
            program: "/usr/sbin/nginx".into(),
            needs: &[
                "/usr/lib/nginx/modules/ndk_http_module.so",
                "/usr/lib/nginx/modules/ngx_http_lua_module.so",
            ],
            packages: "nginx-light libnginx-mod-http-lua",
            config: nginx,
            arguments: |file| vec!["-c".into(), file.display().to_string()],
        },
    ]
    .into_iter()
    .filter(Contender::is_installed)
    .collect()
}

impl Contender {
    fn is_installed(&self) -> bool {
        let Self { name, program, needs, packages, .. } = self;
        let mut files = needs.iter().map(Path::new).chain([&**program]);
        let Some(missing) = files.find(|file| !file.exists()) else { return true };
        println!("{name} is left out: no {} (Debian: {packages})", missing.display());
        false
    }
}

/// The default stack, with limits lifted.
fn kamaitachi(setting: &Setting) -> String {
    let Setting { port, nodes, workers, .. } = setting;
    let nodes: Vec<_> = nodes.iter().map(|node| format!("\"{node}\"")).collect();
    format!(
        "[server]\nport = {port}\nworkers = {workers}\n[admin]\nport = 0\n[upstream]\nnodes = [{}]\n\
         [rate_limit]\nenabled = false\n[log]\nlevel = \"warn\"\n",
        nodes.join(", ")
    )
}

fn haproxy(setting: &Setting) -> String {
    let Setting { port, nodes, workers, .. } = setting;
    let servers: Vec<_> =
        nodes.iter().enumerate().map(|(i, node)| format!("  server n{i} {node}\n")).collect();
    format!(
        "global\n  nbthread {workers}\n  maxconn 4000\ndefaults\n  mode http\n  timeout connect 1s\n  timeout client 60s\n  \
         timeout server 30s\n  timeout http-request 10s\nfrontend f\n  bind 127.0.0.1:{port}\n  option http-buffer-request\n  \
         http-request set-var(txn.k) req.body,json_query('$.subjects[0]')\n  \
         http-request set-path %[path,bytes(5)]\n  default_backend b\nbackend b\n  balance hash var(txn.k)\n  \
         hash-type consistent crc32\n  http-reuse always\n  option forwardfor\n{}",
        servers.concat()
    )
}

fn nginx(setting: &Setting) -> String {
    let Setting { port, nodes, workers, folder } = setting;
    let folder = folder.display();
    let servers: Vec<_> = nodes.iter().map(|node| format!("    server {node};\n")).collect();
    let processes = match workers {
        // Without a child that a profiler would lose.
        1 => "master_process off;".to_owned(),
        workers => format!("worker_processes {workers};"),
    };
    format!(
        "load_module /usr/lib/nginx/modules/ndk_http_module.so;\n\
         load_module /usr/lib/nginx/modules/ngx_http_lua_module.so;\n\
         daemon off;\n{processes}\npid {folder}/nginx.pid;\nerror_log {folder}/nginx.log warn;\n\
         events {{ worker_connections 4096; }}\nhttp {{\n  access_log off;\n  keepalive_requests 1000000000;\n  \
         client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;\n  \
         uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;\n  upstream nodes {{\n    hash $key consistent;\n{}    \
         keepalive 64; keepalive_requests 1000000000;\n  }}\n  server {{\n    listen 127.0.0.1:{port};\n    \
         client_body_buffer_size 64k;\n    location /data/ {{\n      set $key '';\n      rewrite_by_lua_block {{\n        \
         ngx.req.read_body()\n        local m = ngx.re.match(ngx.req.get_body_data() or '', \
         [[\"subjects\"\\s*:\\s*\\[?\\s*\"([^\",]*)]], 'jo')\n        if m then ngx.var.key = m[1] end\n      }}\n      \
         proxy_pass http://nodes/;\n      proxy_http_version 1.1;\n      proxy_set_header Connection '';\n      \
         proxy_set_header X-Forwarded-For $remote_addr;\n    }}\n  }}\n}}\n",
        servers.concat()
    )
}

/// A proxy that runs; it ends when this drops.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    child: Child,
}

impl Contender {
    /// Starts it in front of `nodes` and waits until it listens. `wrapped` comes before the program.
    pub(crate) fn start(
        &self,
        nodes: &[SocketAddr],
        workers: usize,
        folder: &Path,
        wrapped: &[&str],
    ) -> io::Result<Running> {
        let free = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let folder = folder.to_owned();
        let file = folder.join(format!("{}.toml", self.name));
        let setting = Setting { port: free.port(), nodes: nodes.to_vec(), workers, folder };
        fs::write(&file, (self.config)(&setting))?;
        let log = fs::File::create(file.with_extension("log"))?;
        let command: Vec<_> = wrapped
            .iter()
            .map(ToString::to_string)
            .chain([self.program.display().to_string()])
            .collect();
        let child = Command::new(&command[0])
            .args(&command[1..])
            .args((self.arguments)(&file))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        let mut running = Running { address: free, child };
        for _ in 0..1200 {
            if TcpStream::connect(free).is_ok() {
                return Ok(running);
            }
            if running.child.try_wait()?.is_some() {
                break;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        let said = fs::read_to_string(file.with_extension("log")).unwrap_or_default();
        Err(io::Error::other(format!("{} does not start: {said}", self.name)))
    }
}

impl Running {
    /// The process itself; below it may be workers.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Processor time that it and its workers have used.
    pub(crate) fn processor_time(&self) -> Duration {
        let own = ticks(self.pid());
        let workers: u64 = children(self.pid()).into_iter().map(ticks).sum();
        // The kernel's unit for this file is a hundredth of a second everywhere.
        Duration::from_millis((own + workers) * 10)
    }

    /// Asks it to stop, and waits.
    pub(crate) fn stop(mut self) -> io::Result<()> {
        Command::new("kill").arg(self.pid().to_string()).status()?;
        self.child.wait().map(drop)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            // An orphaned nginx worker ends by itself when its master is gone.
            drop(self.child.kill());
            drop(self.child.wait());
        }
    }
}

/// User and system time of a process, in clock ticks.
fn ticks(pid: u32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The name in parentheses may hold anything.
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
    fields.split_ascii_whitespace().skip(11).take(2).filter_map(|n| n.parse::<u64>().ok()).sum()
}

fn children(pid: u32) -> Vec<u32> {
    let listed = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    listed.split_ascii_whitespace().filter_map(|pid| pid.parse().ok()).collect()
}
