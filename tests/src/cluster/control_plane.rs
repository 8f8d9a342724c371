//! The control plane: etcd, the API server, its controllers, the scheduler, and the DNS.

use std::{path::Path, time::Duration};

use anyhow::{Context, Result};

use super::{
    folder::Folder,
    inside::{Inside, kill, until},
};

/// How long the API server may take until it is ready.
const START: Duration = Duration::from_mins(2);
/// How long a process that was killed may take to be gone.
const END: Duration = Duration::from_secs(20);

/// The Service that pods ask for names. What answers is no pod, so its endpoint is written down.
pub(super) const DNS_SERVICE: &str = "\
apiVersion: v1
kind: Service
metadata:
  name: kube-dns
  namespace: kube-system
spec:
  clusterIP: 10.96.0.10
  ports:
    - {name: dns, port: 53, protocol: UDP}
    - {name: dns-tcp, port: 53, protocol: TCP}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata:
  name: kube-dns
  namespace: kube-system
  labels:
    kubernetes.io/service-name: kube-dns
addressType: IPv4
ports:
  - {name: dns, port: 53, protocol: UDP}
  - {name: dns-tcp, port: 53, protocol: TCP}
endpoints:
  - addresses: [10.99.0.1]
";

/// Makes the network of the control plane and of the first node, and room for etcd in memory. Its arguments are the
/// folder of etcd, and what to become then.
pub(super) const NETWORK: &str = "\
set -e
mkdir -p \"$1\"
mount -t tmpfs -o mode=700 tmpfs \"$1\"
echo 1 >/proc/sys/net/ipv4/ip_forward
ip link set lo up
ip link add lan0 type bridge
# A bridge without a cable is down.
ip link add cable0 type veth peer name cable1
ip link set cable0 master lan0 up
ip link set cable1 up
ip address add 10.99.0.1/24 dev lan0
ip link set lan0 up
# Without any default route the kernel refuses addresses of Services before they are translated.
ip route add default dev lan0
shift
exec \"$@\"
";

/// Starts everything, and waits until the API server is ready.
pub(super) fn start(folder: &Folder, inside: Inside) -> Result<()> {
    let etcd = etcd(&folder.run().join("etcd"));
    launch(folder, inside, "etcd", &etcd)?;
    start_api_server(folder, inside)?;
    launch(folder, inside, "kube-controller-manager", &controllers(folder))?;
    launch(folder, inside, "kube-scheduler", &scheduler(folder))?;
    launch(folder, inside, "dns", &dns(folder))
}

/// Starts the API server and waits until it is ready.
pub(super) fn start_api_server(folder: &Folder, inside: Inside) -> Result<()> {
    launch(folder, inside, "kube-apiserver", &api_server(folder))?;
    until("the API server is ready", START, || {
        let mut kubectl = inside.network(folder.kubernetes());
        kubectl.args(["kubectl", "--kubeconfig"]).arg(folder.kubeconfig("admin"));
        kubectl.args(["get", "--raw", "/readyz"]);
        super::inside::output(&mut kubectl).map(Some)
    })
    .with_context(|| format!("its log is {}", folder.log("kube-apiserver").display()))?;
    Ok(())
}

/// Ends the API server without a warning, and waits until it is gone.
pub(super) fn kill_api_server(folder: &Folder, inside: Inside) -> Result<()> {
    until("the API server has ended", END, || {
        let running = inside.running(&folder.kubernetes(), "kube-apiserver");
        running.iter().copied().for_each(kill);
        Ok(running.is_empty().then_some(()))
    })
}

/// Starts one of Kubernetes' programs, with a log of its name.
fn launch(folder: &Folder, inside: Inside, program: &str, arguments: &[String]) -> Result<()> {
    let arguments: Vec<String> = [program.to_owned()].into_iter().chain(arguments.iter().cloned()).collect();
    inside.start(&folder.kubernetes(), &arguments, &folder.log(program))
}

/// `--name=value` for each pair.
pub(super) fn flags<const N: usize>(pairs: [(&str, String); N]) -> Vec<String> {
    pairs.into_iter().map(|(name, value)| format!("--{name}={value}")).collect()
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

fn etcd(data: &Path) -> Vec<String> {
    flags([
        ("data-dir", shown(&data.join("data"))),
        // It lies in memory: there is nothing to be waited for.
        ("unsafe-no-fsync", "true".into()),
        ("listen-client-urls", "http://127.0.0.1:2379".into()),
        ("advertise-client-urls", "http://127.0.0.1:2379".into()),
        ("listen-peer-urls", "http://127.0.0.1:2380".into()),
        ("initial-advertise-peer-urls", "http://127.0.0.1:2380".into()),
        ("initial-cluster", "default=http://127.0.0.1:2380".into()),
        ("log-level", "warn".into()),
    ])
}

fn api_server(folder: &Folder) -> Vec<String> {
    flags([
        ("etcd-servers", "http://127.0.0.1:2379".into()),
        ("advertise-address", super::CONTROL_PLANE.into()),
        ("service-cluster-ip-range", "10.96.0.0/16".into()),
        ("allow-privileged", "true".into()),
        ("authorization-mode", "Node,RBAC".into()),
        ("enable-admission-plugins", "NodeRestriction".into()),
        ("client-ca-file", shown(&folder.certificate("ca"))),
        ("tls-cert-file", shown(&folder.certificate("apiserver"))),
        ("tls-private-key-file", shown(&folder.key("apiserver"))),
        ("kubelet-client-certificate", shown(&folder.certificate("kubelet-client"))),
        ("kubelet-client-key", shown(&folder.key("kubelet-client"))),
        // Nobody resolves names of nodes here.
        ("kubelet-preferred-address-types", "InternalIP".into()),
        ("service-account-issuer", "https://kubernetes.default.svc.cluster.local".into()),
        ("service-account-key-file", shown(&folder.public_key("tokens"))),
        ("service-account-signing-key-file", shown(&folder.key("tokens"))),
    ])
}

fn controllers(folder: &Folder) -> Vec<String> {
    let kubeconfig = shown(&folder.kubeconfig("controller-manager"));
    flags([
        ("kubeconfig", kubeconfig.clone()),
        ("authentication-kubeconfig", kubeconfig.clone()),
        ("authorization-kubeconfig", kubeconfig),
        ("bind-address", "127.0.0.1".into()),
        ("leader-elect", "false".into()),
        ("use-service-account-credentials", "true".into()),
        ("root-ca-file", shown(&folder.certificate("ca"))),
        ("service-account-private-key-file", shown(&folder.key("tokens"))),
    ])
}

fn scheduler(folder: &Folder) -> Vec<String> {
    let kubeconfig = shown(&folder.kubeconfig("scheduler"));
    flags([
        ("kubeconfig", kubeconfig.clone()),
        ("authentication-kubeconfig", kubeconfig.clone()),
        ("authorization-kubeconfig", kubeconfig),
        ("bind-address", "127.0.0.1".into()),
        ("leader-elect", "false".into()),
    ])
}

fn dns(folder: &Folder) -> Vec<String> {
    flags([
        ("kubeconfig", shown(&folder.kubeconfig("admin"))),
        ("listen", format!("{}:53", super::CONTROL_PLANE)),
    ])
}
