//! A sidecar that is short of memory or of descriptors: what it refuses, what it goes on with, and that it recovers.

use std::{
    fs,
    io::{self, Write},
    net::SocketAddr,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

use http::{Method, StatusCode};
use rustix::process::{Resource, Rlimit, prlimit};
use tempfile::{NamedTempFile, TempDir};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use weft_api::names::HEADER_FAULT;
use weft_tests::{
    backend::Backend,
    census::Census,
    client::{Answer, Connection, Version, get, request},
    config,
    garbage::client_hello,
    mesh::Mesh,
    patience::until,
    plan::{Plan, Service, Way},
};

use crate::WEFT;

const SIDECAR: &str = "api-0-proxy";
/// Bytes of a request's head that never ends: less than a sidecar reads of one.
const HEAD: usize = 60 * 1024;
/// Room that a sidecar has above what it takes when nobody calls.
const ROOM_KIB: u64 = 24 * 1024;
/// What a control group has beside its sidecar.
const BALLAST_MIB: u32 = 128;
/// Connections that are enough to take it all, several times over.
const CONNECTIONS_MAX: usize = 4_000;

async fn pressure(mesh: &Mesh) -> u64 {
    mesh.metrics(SIDECAR).await.count("weft_overload_pressure", &[])
}

async fn shed(mesh: &Mesh, metric: &str) -> u64 {
    mesh.metrics(SIDECAR).await.count(metric, &[("fault", "shed")])
}

/// In plaintext, past the caller's sidecar, on a connection of its own.
async fn directly(mesh: &Mesh, path: &str) -> Answer {
    let mut connection =
        Connection::open(mesh.inbound("api-0"), Version::Http1).await.expect("the sidecar takes connections");
    connection.send(request(Method::GET, path)).await.expect("there is an answer")
}

fn is_shed(answer: &Answer) {
    assert_eq!((answer.status, answer.header(HEADER_FAULT)), (StatusCode::SERVICE_UNAVAILABLE, "shed"));
    assert_eq!(answer.header("retry-after"), "1");
}

/// Everything new is refused, and says so, and those who look at the sidecar are answered.
async fn everything_is_refused(mesh: &Mesh, api: &Backend) {
    let before = api.count();
    is_shed(&get(mesh.entrance("api"), "/over-the-mesh").await);
    let answer = directly(mesh, "/in-plaintext").await;
    is_shed(&answer);
    assert_eq!(answer.header("connection"), "close");
    // A sidecar that comes anew is refused before its handshake costs anything.
    let mut stream = TcpStream::connect(mesh.inbound("api-0")).await.expect("somebody listens");
    stream.write_all(&client_hello(&mesh.roots())).await.expect("it is not full");
    let read = stream.read(&mut [0; 16]).await;
    assert!(read.is_err_and(|error| error.kind() == io::ErrorKind::ConnectionReset), "it was answered");
    assert_eq!(get(mesh.admin(SIDECAR), "/live").await.status, StatusCode::OK);
    assert_eq!(api.count(), before, "the application has seen what was refused");
    assert!(shed(mesh, "http_server_request_duration_seconds_count").await >= 2);
    assert!(shed(mesh, "weft_tcp_connections_closed_total").await >= 1);
    let line = until("it is logged", async || {
        mesh.access_log(SIDECAR).into_iter().find(|line| line["url.path"] == "/in-plaintext")
    })
    .await;
    let reason = line["reason"].as_str().unwrap_or_default();
    assert!(line["fault"] == "shed" && reason.ends_with("MiB of memory are in use"), "{line}");
}

async fn everything_is_served(mesh: &Mesh) {
    until("the sidecar has room again", async || (pressure(mesh).await == 0).then_some(())).await;
    until("requests go through again", async || {
        (get(mesh.entrance("api"), "/").await.status == StatusCode::OK).then_some(())
    })
    .await;
    let answer = directly(mesh, "/").await;
    assert_eq!((answer.status, answer.header("connection")), (StatusCode::OK, ""));
}

fn api_of(api: &Backend) -> Service {
    Service::reached("api", &[api.address()], Way::Permissive)
}

#[tokio::test]
async fn near_to_its_limit_a_sidecar_refuses_what_is_new_until_memory_is_free_again() {
    let api = Backend::healthy("api").await;
    let idle_kib = {
        let mesh = Mesh::start(WEFT, &Plan::of(vec![api_of(&api)])).await;
        assert_eq!(get(mesh.entrance("api"), "/").await.status, StatusCode::OK);
        assert_eq!(pressure(&mesh).await, 0);
        Census::of(mesh.pid(SIDECAR)).resident_kib
    };
    let limit = format!("{}Ki", idle_kib + ROOM_KIB).parse().expect("that is an amount");
    let service = Service { memory_limit: Some(limit), ..api_of(&api) };
    let mesh = Mesh::start(WEFT, &Plan::of(vec![service])).await;
    everything_is_served(&mesh).await;

    let mut head = b"GET / HTTP/1.1\r\nhost: a\r\nx: ".to_vec();
    head.resize(HEAD, b'x');
    let mut held = Vec::new();
    while pressure(&mesh).await < 2 {
        assert!(held.len() < CONNECTIONS_MAX, "{} connections take no memory", held.len());
        for _ in 0..20 {
            let mut stream = TcpStream::connect(mesh.inbound("api-0")).await.expect("somebody listens");
            // Some may be refused already.
            let _ = stream.write_all(&head).await;
            held.push(stream);
        }
    }
    everything_is_refused(&mesh, &api).await;
    drop(held);
    everything_is_served(&mesh).await;
}

/// A control group of this machine's, of whichever version it has. Dropped, it is removed.
struct Group {
    folder: PathBuf,
    limit: &'static str,
    usage: &'static str,
    idle: &'static str,
    unlimited: &'static str,
}

impl Group {
    /// One below the roots that most machines have, if one may be made there.
    fn create() -> io::Result<Self> {
        let name = format!("weft-test-{}", std::process::id());
        let one = Path::new("/sys/fs/cgroup/memory");
        let group = if one.is_dir() {
            Self {
                folder: one.join(name),
                limit: "memory.limit_in_bytes",
                usage: "memory.usage_in_bytes",
                idle: "total_inactive_file ",
                unlimited: "-1",
            }
        } else {
            Self {
                folder: Path::new("/sys/fs/cgroup").join(name),
                limit: "memory.max",
                usage: "memory.current",
                idle: "inactive_file ",
                unlimited: "max",
            }
        };
        fs::create_dir(&group.folder)?;
        Ok(group)
    }

    fn read(&self, file: &str) -> String {
        let path = self.folder.join(file);
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    fn limit(&self, bytes: &str) {
        let path = self.folder.join(self.limit);
        fs::write(&path, bytes).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }

    /// Makes of what is taken now so many percent of the limit.
    fn fill(&self, percent: u64) {
        let number = |text: &str| text.trim().parse::<u64>().expect("it is a number");
        let stat = self.read("memory.stat");
        let idle = stat.lines().find_map(|line| line.strip_prefix(self.idle)).map_or(0, number);
        let used = number(&self.read(self.usage)).saturating_sub(idle);
        self.limit(&(used * 100 / percent).to_string());
    }

    /// Takes memory of the group until the file is gone: beside it, what a sidecar takes more or less by the moment is little.
    fn ballast(&self) -> NamedTempFile {
        let file = NamedTempFile::new_in("/dev/shm").expect("there are files in memory");
        let procs = self.folder.join("cgroup.procs");
        let (procs, path) = (procs.display(), file.path().display());
        let script = format!("echo $$ > {procs} && exec dd if=/dev/zero of={path} bs=1M count={BALLAST_MIB}");
        let written = Command::new("sh").args(["-c", &script]).output().expect("there is a shell");
        assert!(written.status.success(), "{}", String::from_utf8_lossy(&written.stderr));
        file
    }

    /// A program that puts the sidecar of `api` into the group, and is the program under test.
    fn program(&self, folder: &Path) -> String {
        let path = folder.join("weft");
        let procs = self.folder.join("cgroup.procs");
        let text = format!(
            "#!/bin/sh\ncase \"$*\" in *api-0.json*) echo $$ > {};; esac\nexec {WEFT} \"$@\"\n",
            procs.display()
        );
        fs::write(&path, text).expect("the folder is there");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("the file is there");
        path.display().to_string()
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Its processes have been killed, but the kernel may still be at it.
        for _ in 0..1_000 {
            if fs::remove_dir(&self.folder).is_ok() {
                return;
            }
            std::thread::yield_now();
        }
        eprintln!("{} stays behind", self.folder.display());
    }
}

#[tokio::test]
async fn the_limit_of_its_control_group_counts_as_its_own() {
    if !config::root_tests() {
        let name = "overload::the_limit_of_its_control_group_counts_as_its_own";
        let told = writeln!(io::stderr(), "SKIPPED {name}: WEFT_ROOT_TESTS=1 demands it, and root");
        return told.expect("stderr takes a line");
    }
    let group = Group::create().expect("root makes control groups");
    let folder = TempDir::new().expect("there is room for a file");
    // Far away: the sidecar looks for a limit when it starts.
    group.limit("2147483648");
    let api = Backend::healthy("api").await;
    let mesh = Mesh::start(&group.program(folder.path()), &Plan::of(vec![api_of(&api)])).await;
    everything_is_served(&mesh).await;
    let mut kept =
        Connection::open(mesh.inbound("api-0"), Version::Http1).await.expect("the sidecar takes connections");
    kept.send(request(Method::GET, "/")).await.expect("there is an answer");

    let _ballast = group.ballast();
    group.fill(87);
    until("some of what comes is refused", async || (pressure(&mesh).await == 1).then_some(())).await;
    until("an idle connection ends", async || kept.send(request(Method::GET, "/")).await.err()).await;
    let mut statuses = [0; 2];
    for _ in 0..300 {
        let answer = directly(&mesh, "/").await;
        assert_eq!(answer.header("connection"), "close");
        statuses[usize::from(answer.status == StatusCode::OK)] += 1;
    }
    assert!(statuses.iter().all(|count| *count > 0), "refused and served: {statuses:?}");

    group.fill(95);
    until("everything is refused", async || (pressure(&mesh).await == 2).then_some(())).await;
    everything_is_refused(&mesh, &api).await;
    group.limit(group.unlimited);
    everything_is_served(&mesh).await;
}

#[tokio::test]
async fn without_descriptors_connections_are_turned_away_and_whoever_asks_why_is_answered() {
    let api = Backend::healthy("api").await;
    let mesh = Mesh::start(WEFT, &Plan::of(vec![api_of(&api)])).await;
    everything_is_served(&mesh).await;
    let pid = mesh.pid(SIDECAR);
    let most = Census::of(pid).descriptors as u64 + 10;
    let limit = Rlimit { current: Some(most), maximum: Some(most) };
    prlimit(Some(pid), Resource::Nofile, limit).expect("a process of the same user");

    let door: SocketAddr = mesh.inbound("api-0");
    let mut held = Vec::new();
    for _ in 0..40 {
        // Some are reset before it is known that they stand.
        if let Ok(stream) = TcpStream::connect(door).await {
            held.push(stream);
        }
    }
    let turned_away = until("they are counted", async || {
        let metrics = mesh.metrics(SIDECAR).await;
        let count = metrics.count("weft_connections_without_descriptor_total", &[]);
        (count >= 20).then_some(count)
    })
    .await;
    assert!(turned_away < 40, "some were taken");
    assert!(shed(&mesh, "weft_tcp_connections_closed_total").await >= 20);
    let line = until("it is logged", async || {
        mesh.access_log(SIDECAR).into_iter().find(|line| line["fault"] == "shed")
    })
    .await;
    assert_eq!(line["reason"], "the sidecar has no file descriptor left for it");
    drop(held);
    everything_is_served(&mesh).await;
}
