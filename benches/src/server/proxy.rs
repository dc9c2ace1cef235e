//! What stands in front of servers and passes on: `turnpike router`, and nginx and haproxy as Debian has them.

use std::{
    fs::{self, File},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    process::{Child, Stdio},
    time::{Duration, Instant},
};

use anyhow::Context as _;

use super::{Contender, Places, Server, tail};
use crate::measure::pinning::Core;

/// Nothing takes so long to start.
const PATIENCE: Duration = Duration::from_secs(20);
/// Between two looks whether it listens.
const BREATH: Duration = Duration::from_millis(20);
/// Where Debian puts it.
const NGINX: &str = "/usr/sbin/nginx";
const HAPROXY: &str = "/usr/sbin/haproxy";
/// Two sockets for each client; when but a sixteenth is left, nginx hangs up on those that have not said yet what they want.
const NGINX_CONNECTIONS: u32 = 20_000;
/// haproxy does not start if it might need more descriptors than it may have: two for each.
const PROXIED_MAX: u32 = 9_500;

impl Server {
    /// A router in front of the nodes of this Redis Cluster. All clients come from few addresses.
    pub(crate) fn router(
        places: &Places,
        core: Core,
        seeds: &str,
        environment: &[(&str, &str)],
    ) -> anyhow::Result<Self> {
        let mut command = core.command(places.programs.join("turnpike"));
        command
            .arg("router")
            .env("REDIS_NODES", seeds)
            .env("TURNPIKE_ROUTER_PORT", "0")
            .env("ADMIN_PORT", "0")
            // It has one core, as nginx has one worker.
            .env("TURNPIKE_ROUTER_THREADS", "1")
            .env("TURNPIKE_ROUTER_HANDSHAKES_PER_ADDRESS", "1000000")
            .envs(environment.iter().copied());
        Self::launch(Contender::Turnpike, command, places, "turnpike-router")
    }

    /// One process, no logs, otherwise its defaults.
    pub(crate) fn nginx(places: &Places, core: Core, upstream: SocketAddr) -> anyhow::Result<Self> {
        let folder = places.programs.join("bench-nginx");
        fs::create_dir_all(&folder)?;
        // It cannot be asked which port it took, so it is told one that was free a moment ago.
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        let config = format!(
            "daemon off; master_process off; pid nginx.pid; error_log stderr; worker_rlimit_nofile 20000;\n\
             events {{ worker_connections {NGINX_CONNECTIONS}; }}\n\
             http {{\n  access_log off; client_body_temp_path body; proxy_temp_path proxy;\n  \
             fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;\n  \
             server {{\n    listen {address} backlog=4096;\n    location / {{\n      \
             proxy_pass http://{upstream}; proxy_http_version 1.1; proxy_read_timeout 1h; proxy_send_timeout 1h;\n      \
             proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade;\n      \
             proxy_set_header Host $host; proxy_set_header X-Forwarded-For $remote_addr;\n    }}\n  }}\n}}\n"
        );
        fs::write(folder.join("nginx.conf"), config)?;
        let mut log = places.log("nginx")?;
        let mut command = core.command(NGINX);
        command.arg("-p").arg(&folder).args(["-c", "nginx.conf", "-e", "stderr"]);
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log.try_clone()?);
        let mut child = command.spawn().context("nginx did not start: is Debian's package installed?")?;
        until_it_listens(&mut child, address, &mut log)?;
        Ok(Self { contender: Contender::Nginx, child, address, admin: None, _data: None })
    }

    /// One thread, no logs, and no ends to what is quiet; otherwise its defaults.
    pub(crate) fn haproxy(places: &Places, core: Core, upstream: SocketAddr) -> anyhow::Result<Self> {
        let folder = places.programs.join("bench-haproxy");
        fs::create_dir_all(&folder)?;
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        let config = format!(
            "global\n  maxconn {PROXIED_MAX}\n  nbthread 1\n\n\
             defaults\n  mode http\n  maxconn {PROXIED_MAX}\n  timeout connect 5s\n  timeout client 1h\n  \
             timeout server 1h\n  timeout tunnel 1h\n  option forwardfor\n\n\
             frontend clients\n  bind {address} backlog 4096\n  default_backend nodes\n\n\
             backend nodes\n  server one {upstream}\n"
        );
        let file = folder.join("haproxy.cfg");
        fs::write(&file, config)?;
        let mut log = places.log("haproxy")?;
        let mut command = core.command(HAPROXY);
        // In the foreground, and in one process.
        command.args(["-db", "-f"]).arg(&file);
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log.try_clone()?);
        let mut child = command.spawn().context("haproxy did not start: is Debian's package installed?")?;
        until_it_listens(&mut child, address, &mut log)?;
        Ok(Self { contender: Contender::Haproxy, child, address, admin: None, _data: None })
    }
}

fn until_it_listens(child: &mut Child, address: SocketAddr, log: &mut File) -> anyhow::Result<()> {
    let end = Instant::now() + PATIENCE;
    while TcpStream::connect(address).is_err() {
        if child.try_wait()?.is_some() || Instant::now() > end {
            child.kill().ok();
            child.wait().ok();
            anyhow::bail!("it does not listen: {}", tail(log));
        }
        std::thread::sleep(BREATH);
    }
    Ok(())
}
