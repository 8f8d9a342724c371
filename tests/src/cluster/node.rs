//! A node: containerd, kubelet and kube-proxy in namespaces of their own, with what they need of a machine.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result};

use super::{
    cgroup::Cgroup,
    control_plane::flags,
    folder::Folder,
    inside::{Inside, detached, output, until},
};

/// How long each step of a node's start may take.
const START: Duration = Duration::from_mins(1);

/// Makes a node of a few namespaces and becomes its first process. Its arguments are the node's folder, its name, and
/// what to become then. Whatever is mounted or written here is seen by nobody else, and gone with the node.
const MACHINE: &str = "\
set -e
node=$1
hostname \"$2\"
mount --make-rshared /
mount -t tmpfs tmpfs /run
# Disks of the node, in memory.
mkdir -p \"$node/disk\"
mount -t tmpfs -o mode=755 tmpfs \"$node/disk\"
for folder in /var/lib/containerd /var/lib/kubelet /var/lib/cni /var/log /opt/cni/bin /etc/cni/net.d; do
    mkdir -p $folder \"$node/disk$folder\"
    mount --bind \"$node/disk$folder\" $folder
done
# Plugins that come with the mesh are put beside those of the network.
cp /usr/lib/cni/* /opt/cni/bin/
# What a kubelet sets for its whole machine, it sets in copies.
for file in vm/overcommit_memory vm/panic_on_oom kernel/panic kernel/panic_on_oops kernel/keys/root_maxkeys \\
    kernel/keys/root_maxbytes; do
    mkdir -p \"$node/disk/sys/$(dirname $file)\"
    cat /proc/sys/$file >\"$node/disk/sys/$file\"
    mount --bind \"$node/disk/sys/$file\" /proc/sys/$file
done
shift 2
exec \"$@\"
";

/// Where runtimes look for the configuration of a node's network, unless they are told otherwise.
const NETWORK: &str = "/etc/cni/net.d/10-pods.conflist";

/// A node of the cluster.
#[derive(Clone, Copy, Debug)]
pub(super) struct Node {
    /// From 1. The first shares the network of the control plane.
    pub(super) number: u8,
}

impl Node {
    pub(super) fn name(self) -> String {
        format!("n{}", self.number)
    }

    fn address(self) -> String {
        format!("10.99.0.{}", self.number)
    }

    /// The addresses of its pods.
    fn pods(self) -> String {
        format!("10.244.{}.0/24", self.number)
    }

    /// Where it runs, if it does.
    pub(super) fn inside(self, folder: &Folder) -> Option<Inside> {
        Inside::find(&folder.node(&self.name()))
    }

    /// Starts it: `program` is the first process that it gets, and `images` are archives that it is given.
    pub(super) fn start(
        self,
        folder: &Folder,
        cluster: Inside,
        program: &Path,
        images: &[PathBuf],
    ) -> Result<()> {
        let inside = self.boot(folder, cluster, program)?;
        if self.number > 1 {
            self.connect(cluster, inside)?;
        }
        let own = folder.node(&self.name());
        for (file, text) in self.configuration(folder) {
            fs::write(own.join(file), text).with_context(|| format!("{}: {file}", own.display()))?;
        }
        let network = inside.path(NETWORK);
        fs::write(&network, cni(&self.pods())).with_context(|| network.clone())?;
        let file = |name: &str| own.join(name).display().to_string();
        let log = |program: &str| folder.log(&format!("{}-{program}", self.name()));
        let config = flags([("config", file("containerd.toml"))]);
        inside.start(Path::new("containerd"), &config, &log("containerd"))?;
        until("containerd listens", START, || {
            Ok(Path::new(&inside.path("/run/containerd/containerd.sock")).exists().then_some(()))
        })?;
        for image in images {
            import(inside, image)?;
        }
        let mut kubelet = vec!["kubelet".to_owned()];
        kubelet.extend(flags([
            ("config", file("kubelet.yaml")),
            ("kubeconfig", folder.kubeconfig(&self.name()).display().to_string()),
            ("hostname-override", self.name()),
            ("node-ip", self.address()),
        ]));
        inside.start(&folder.kubernetes(), &kubelet, &log("kubelet"))?;
        let mut proxy = vec!["kube-proxy".to_owned()];
        proxy.extend(flags([("config", file("kube-proxy.yaml"))]));
        inside.start(&folder.kubernetes(), &proxy, &log("kube-proxy"))?;
        Ok(())
    }

    /// Its namespaces and their first process.
    fn boot(self, folder: &Folder, cluster: Inside, program: &Path) -> Result<Inside> {
        let own = folder.node(&self.name());
        fs::create_dir_all(&own).with_context(|| own.display().to_string())?;
        let mut unshare = cluster.command("unshare");
        if self.number > 1 {
            unshare.arg("--net");
        }
        unshare.args(["--mount", "--pid", "--uts", "--ipc", "--fork", "--kill-child", "--mount-proc"]);
        unshare.args(["--propagation", "private", "sh", "-c", MACHINE, "sh"]);
        unshare.arg(&own).arg(self.name()).arg(program).arg("init").arg(&own);
        let log = folder.log(&self.name());
        detached(&mut unshare, &log)?;
        until(&format!("node {} is there", self.name()), START, || {
            Ok(self.inside(folder).filter(|inside| inside.has_begun()))
        })
        .with_context(|| format!("its log is {}", log.display()))
    }

    /// A cable from its network to that of the others, and the ways from and to its pods.
    fn connect(self, cluster: Inside, inside: Inside) -> Result<()> {
        let (cable, pid) = (format!("lan{}", self.number), inside.pid().as_raw_nonzero());
        let (address, pods) = (self.address(), self.pods());
        for line in [
            format!("link add {cable} type veth peer name eth0 netns {pid}"),
            format!("link set {cable} master lan0 up"),
            format!("route add {pods} via {address}"),
        ] {
            output(cluster.network("ip").args(line.split(' ')))?;
        }
        for line in [
            "link set lo up".to_owned(),
            format!("address add {address}/24 dev eth0"),
            "link set eth0 up".to_owned(),
            format!("route add default via {}", super::CONTROL_PLANE),
        ] {
            output(inside.network("ip").args(line.split(' ')))?;
        }
        output(inside.command("sh").args(["-c", "echo 1 >/proc/sys/net/ipv4/ip_forward"]))?;
        Ok(())
    }

    /// Files of its configuration.
    fn configuration(self, folder: &Folder) -> [(&'static str, String); 4] {
        let own = folder.node(&self.name());
        let cgroup = Cgroup::of(folder).node(&self.name());
        let shown = |path: &Path| path.display().to_string();
        [
            ("containerd.toml", containerd()),
            (
                "kubelet.yaml",
                kubelet(&cgroup, &shown(&folder.certificate("ca")), &shown(&own.join("resolv.conf"))),
            ),
            ("kube-proxy.yaml", kube_proxy(&self.name(), &shown(&folder.kubeconfig("proxy")))),
            // For pods that want the node's: there is nobody to ask beside the cluster's.
            ("resolv.conf", "nameserver 10.99.0.1\n".to_owned()),
        ]
    }
}

/// Gives an image to a node.
pub(super) fn import(inside: Inside, archive: &Path) -> Result<()> {
    let file = fs::File::open(archive).with_context(|| archive.display().to_string())?;
    let mut ctr: Command = inside.command("ctr");
    // By stdin, since a node does not see all files of its machine.
    ctr.args(["--namespace", "k8s.io", "images", "import", "-"]).stdin(Stdio::from(file));
    output(&mut ctr).with_context(|| format!("{} cannot be imported", archive.display()))?;
    Ok(())
}

fn containerd() -> String {
    let pause = super::pause_reference();
    format!(
        r#"version = 2
root = "/var/lib/containerd"
state = "/run/containerd"
disabled_plugins = ["io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs"]
[grpc]
address = "/run/containerd/containerd.sock"
[plugins."io.containerd.internal.v1.opt"]
path = "/var/lib/containerd/opt"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{pause}"
# Without CAP_SYS_RESOURCE nobody may lower it.
restrict_oom_score_adj = true
disable_apparmor = true
[plugins."io.containerd.grpc.v1.cri".cni]
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
"#
    )
}

fn kubelet(cgroup: &str, ca: &str, resolv_conf: &str) -> String {
    format!(
        "apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
authentication:
  x509: {{clientCAFile: {ca}}}
containerRuntimeEndpoint: unix:///run/containerd/containerd.sock
cgroupDriver: cgroupfs
cgroupRoot: {cgroup}
failCgroupV1: false
failSwapOn: false
clusterDomain: cluster.local
clusterDNS: [10.96.0.10]
resolvConf: {resolv_conf}
volumePluginDir: /var/lib/kubelet/plugins
# The machine's disk is none of its concern.
evictionHard: {{memory.available: 0%, nodefs.available: 0%, nodefs.inodesFree: 0%, imagefs.available: 0%}}
imageGCHighThresholdPercent: 100
imageGCLowThresholdPercent: 99
"
    )
}

/// It leaves alone what connection tracking has for the whole machine.
fn kube_proxy(node: &str, kubeconfig: &str) -> String {
    format!(
        "apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
clientConnection: {{kubeconfig: {kubeconfig}}}
hostnameOverride: {node}
mode: nftables
clusterCIDR: 10.244.0.0/16
conntrack: {{maxPerCore: 0, min: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s}}
"
    )
}

/// Each pod has a cable of its own to its node, which leads everything on: what goes to a Service must come back by the
/// node that translated its address, also where both pods are on it.
fn cni(pods: &str) -> String {
    serde_json::json!({
        "cniVersion": "0.4.0",
        "name": "pods",
        "plugins": [{
            "type": "ptp",
            "ipam": {
                "type": "host-local",
                "ranges": [[{ "subnet": pods }]],
                "routes": [{ "dst": "0.0.0.0/0" }],
            },
        }],
    })
    .to_string()
}
