//! A pod and its node, each a network namespace of its own, joined by a cable: as in Kubernetes, but for what a redirect
//! does not need. Only root may make them; dropped, they are gone.

use std::{
    fs::{self, File},
    io::{self, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    os::fd::AsFd,
    panic::resume_unwind,
    path::{Path, PathBuf},
    process::{self, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering::Relaxed},
    thread,
};

use rustix::{
    process::{Gid, Uid},
    thread::{
        LinkNameSpaceType, move_into_link_name_space, set_thread_groups, set_thread_res_gid,
        set_thread_res_uid,
    },
};
use socket2::SockRef;

use crate::patience::PATIENCE;

/// Addresses of the node at its end of the cable.
pub const NODE: [&str; 2] = ["10.66.0.1", "fd66::1"];
/// Addresses of the pod.
pub const POD: [&str; 2] = ["10.66.0.2", "fd66::2"];
/// Addresses far away: the node answers for them. Those of documentation (RFC 5737, RFC 3849) are nobody's.
pub const FAR: [&str; 4] = ["198.51.100.7", "2001:db8:7::7", "192.0.2.1", "2001:db8::1"];

/// A user that is neither root nor a sidecar.
pub const APP: u32 = 1000;

/// Makes names unique within this process.
static MADE: AtomicU32 = AtomicU32::new(0);

/// A network namespace.
pub struct Namespace {
    name: String,
}

/// A pod, and the node on which it runs.
pub struct Pod {
    /// Where its connections go.
    pub node: Namespace,
    /// The pod itself.
    pub pod: Namespace,
}

impl Pod {
    /// Makes both, with addresses and routes of IPv4 and IPv6.
    pub fn start() -> Self {
        let own = Self { node: Namespace::make("node"), pod: Namespace::make("pod") };
        own.node.ip(&format!("link add eth0 type veth peer name eth0 netns {}", own.pod.name));
        for (side, addresses) in [(&own.node, NODE), (&own.pod, POD)] {
            side.ip("link set lo up");
            side.ip("link set eth0 up");
            side.ip(&format!("address add {}/24 dev eth0", addresses[0]));
            side.ip(&format!("address add {}/64 dev eth0 nodad", addresses[1]));
        }
        for address in FAR {
            own.node.ip(&format!("address add {address} dev lo"));
        }
        own.pod.ip(&format!("route add default via {}", NODE[0]));
        own.pod.ip(&format!("-6 route add default via {}", NODE[1]));
        own
    }
}

impl Namespace {
    /// A new one, named after what it is.
    pub fn make(what: &str) -> Self {
        let name = format!("weft-test-{}-{}-{what}", process::id(), MADE.fetch_add(1, Relaxed));
        command("ip", &["netns", "add", &name], "");
        Self { name }
    }

    /// Where whoever may enters it.
    pub fn path(&self) -> PathBuf {
        Path::new("/run/netns").join(&self.name)
    }

    /// Its name, as `ip netns` shows it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Runs `ip` there, with arguments that are separated by blanks.
    pub fn ip(&self, arguments: &str) {
        let arguments: Vec<&str> = ["-n", &self.name].into_iter().chain(arguments.split(' ')).collect();
        command("ip", &arguments, "");
    }

    /// Has nft do there what `script` says, and returns what it prints.
    pub fn nft(&self, script: &str) -> String {
        self.run(|| command("nft", &["-f", "-"], script))
    }

    /// All rules of the namespace, of every table.
    pub fn ruleset(&self) -> String {
        self.nft("list ruleset\n")
    }

    /// Writes `value` to a file below `/proc/sys/net`.
    pub fn sysctl(&self, file: &str, value: &str) {
        let path = format!("/proc/sys/net/{file}");
        self.run(|| fs::write(&path, value)).unwrap_or_else(|error| panic!("{path}: {error}"));
    }

    /// Calls `act` there, on a thread of its own. Sockets stay where they were made.
    pub fn run<T: Send>(&self, act: impl FnOnce() -> T + Send) -> T {
        within(&self.path(), act)
    }

    /// The same as user `uid`, without any right of root.
    pub fn run_as<T: Send>(&self, uid: u32, act: impl FnOnce() -> T + Send) -> T {
        let drop_rights = || {
            let (user, group) = (Uid::from_raw(uid), Gid::from_raw(uid));
            set_thread_groups(&[])?;
            set_thread_res_gid(group, group, group)?;
            set_thread_res_uid(user, user, user)
        };
        self.run(|| {
            drop_rights().unwrap_or_else(|error| panic!("user {uid}: {error}"));
            act()
        })
    }

    /// Listens there. Accepting waits as long as tests do.
    pub fn listen(&self, address: SocketAddr) -> TcpListener {
        let listener = self.run(|| TcpListener::bind(address));
        let listener = listener.unwrap_or_else(|error| panic!("{address} in {}: {error}", self.name));
        SockRef::from(&listener).set_read_timeout(Some(PATIENCE)).expect("a socket takes a time-out");
        listener
    }

    /// Connects from there as user `uid`.
    pub fn connect(&self, uid: u32, to: SocketAddr) -> io::Result<TcpStream> {
        self.run_as(uid, || TcpStream::connect_timeout(&to, PATIENCE))
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // What is left over is seen by `ip netns`; a panic within a panic would hide the test's own words.
        let _ = Command::new("ip").args(["netns", "delete", &self.name]).status();
    }
}

/// Calls `act` in the network namespace that the file `path` stands for, on a thread of its own. Sockets stay where they
/// were made.
pub fn within<T: Send>(path: &Path, act: impl FnOnce() -> T + Send) -> T {
    let enter = || {
        let namespace = File::open(path)?;
        Ok(move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?)
    };
    thread::scope(|scope| {
        let thread = scope.spawn(|| {
            let entered: io::Result<()> = enter();
            entered.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            act()
        });
        thread.join().unwrap_or_else(|panic| resume_unwind(panic))
    })
}

/// Runs a program that must succeed, and returns what it printed.
fn command(program: &str, arguments: &[&str], input: &str) -> String {
    let shown = format!("{program} {}", arguments.join(" "));
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| {
            panic!("{shown}: {error}: these tests need the packages iproute2 and nftables")
        });
    let stdin = child.stdin.take();
    let written = stdin.map(|mut stdin| stdin.write_all(input.as_bytes()));
    let output = child.wait_with_output().unwrap_or_else(|error| panic!("{shown}: {error}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && matches!(written, Some(Ok(()))), "{shown}: {said}\n{input}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}
