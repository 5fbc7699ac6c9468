"""What a node's programs are told: their files, and their command lines."""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ugc_cluster.certificates import Authority, Pair

NODE_NAME = "ugc-node"
# All of these exist in the node's own network namespace only.
NODE_ADDRESS = "10.222.0.1"
API_PORT = 6443
_PODS = "10.223.0.0/16"
_SERVICES = "10.224.0.0/16"
_API_SERVICE_ADDRESS = "10.224.0.1"
DNS_ADDRESS = "10.224.0.10"
CONTAINERD_SOCKET = "/run/containerd/containerd.sock"
PAUSE_IMAGE = "localhost/pause:1"
COREDNS_IMAGE = "localhost/coredns:1"
_ETCD_PORT = 2379
_ETCD = f"http://127.0.0.1:{_ETCD_PORT}"


@dataclass(frozen=True, slots=True)
class Program:
    """A process of the node; its log is `name.log`.

    `ready` is what answers before the next is started: the path of a socket, a port of the
    loopback, or nothing.
    """

    name: str
    command: tuple[str, ...]
    ready: str | int | None = None


@dataclass(frozen=True, slots=True)
class Node:
    """The files of a node are in `directory`; `run` has what starts, in this order."""

    directory: Path
    admin_kubeconfig: Path
    run: Sequence[Program]


def configure(
    directory: Path,
    *,
    programs: Path,
    cni_plugins: Path,
    api_port: int,
    now: datetime.datetime,
    may_lower_oom_score: bool,
) -> Node:
    """Write every file of a node. From outside its API is at `api_port` of the loopback."""
    certificates = directory / "certificates"
    certificates.mkdir(parents=True)
    authority = Authority(certificates, now)
    serving = authority.sign(
        "kube-apiserver",
        "kube-apiserver",
        group="system:masters",
        names=[
            NODE_NAME,
            "kubernetes",
            "kubernetes.default",
            "kubernetes.default.svc",
            "localhost",
        ],
        addresses=["127.0.0.1", NODE_ADDRESS, _API_SERVICE_ADDRESS],
    )
    accounts = authority.sign("service-accounts", "service-accounts")
    kubelet = authority.sign(
        "kubelet",
        f"system:node:{NODE_NAME}",
        group="system:nodes",
        names=[NODE_NAME],
        addresses=[NODE_ADDRESS],
    )

    def kubeconfig(name: str, pair: Pair, port: int = API_PORT) -> Path:
        path = directory / f"{name}.kubeconfig"
        _write(path, _kubeconfig(authority.files.certificate, pair, f"https://127.0.0.1:{port}"))
        return path

    def client(name: str, user: str, group: str = "") -> Path:
        return kubeconfig(name, authority.sign(name, user, group=group))

    admin = authority.sign("admin", "admin", group="system:masters")
    proxy = client("kube-proxy", "system:kube-proxy")
    files = {
        "containerd.toml": _containerd(directory, cni_plugins, may_lower_oom_score),
        "cni/10-pods.conflist": json.dumps(_CNI, indent=2),
        "kubelet.yaml": json.dumps(_kubelet(directory, authority, kubelet), indent=2),
        "kube-proxy.yaml": json.dumps(_proxy(proxy), indent=2),
        "hosts": f"127.0.0.1 localhost\n{NODE_ADDRESS} {NODE_NAME}\n",
        # There is no world outside: names that are not the cluster's do not exist.
        "resolv.conf": "",
    }
    for name, text in files.items():
        _write(directory / name, text)
    (directory / "var").mkdir()

    def program(name: str, *arguments: str, ready: str | int | None = None) -> Program:
        return Program(name, (str(programs / name), *arguments), ready)

    controllers = client("kube-controller-manager", "system:kube-controller-manager")
    scheduler = client("kube-scheduler", "system:kube-scheduler")
    return Node(
        directory,
        kubeconfig("admin", admin, api_port),
        [
            Program(
                "containerd",
                ("containerd", "--config", str(directory / "containerd.toml")),
                CONTAINERD_SOCKET,
            ),
            # Nothing here outlives the machine's power: it need not wait for the disk.
            program(
                "etcd", "--data-dir=/var/lib/etcd", f"--listen-client-urls={_ETCD}",
                f"--advertise-client-urls={_ETCD}", "--listen-peer-urls=http://127.0.0.1:2380",
                "--unsafe-no-fsync", "--log-level=warn", ready=_ETCD_PORT,
            ),
            program(
                "kube-apiserver", f"--etcd-servers={_ETCD}", f"--secure-port={API_PORT}",
                f"--advertise-address={NODE_ADDRESS}", f"--service-cluster-ip-range={_SERVICES}",
                f"--tls-cert-file={serving.certificate}", f"--tls-private-key-file={serving.key}",
                f"--client-ca-file={authority.files.certificate}",
                f"--kubelet-certificate-authority={authority.files.certificate}",
                f"--kubelet-client-certificate={serving.certificate}",
                f"--kubelet-client-key={serving.key}",
                "--kubelet-preferred-address-types=InternalIP",
                "--service-account-issuer=https://kubernetes.default.svc",
                f"--service-account-key-file={accounts.certificate}",
                f"--service-account-signing-key-file={accounts.key}",
                "--authorization-mode=Node,RBAC", "--enable-admission-plugins=NodeRestriction",
                "--allow-privileged=true", ready=API_PORT,
            ),
            program(
                "kube-controller-manager", f"--kubeconfig={controllers}",
                f"--root-ca-file={authority.files.certificate}",
                f"--service-account-private-key-file={accounts.key}",
                f"--cluster-signing-cert-file={authority.files.certificate}",
                f"--cluster-signing-key-file={authority.files.key}",
                "--use-service-account-credentials=true", "--leader-elect=false",
            ),
            program("kube-scheduler", f"--kubeconfig={scheduler}", "--leader-elect=false"),
            program(
                "kubelet", f"--config={directory / 'kubelet.yaml'}",
                f"--kubeconfig={kubeconfig('kubelet', kubelet)}",
                f"--hostname-override={NODE_NAME}", f"--node-ip={NODE_ADDRESS}",
            ),
            program("kube-proxy", f"--config={directory / 'kube-proxy.yaml'}"),
        ],
    )  # fmt: skip


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    path.write_text(text, "utf-8")


def _kubeconfig(authority: Path, pair: Pair, server: str) -> str:
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": NODE_NAME,
            "contexts": [{"name": NODE_NAME, "context": {"cluster": NODE_NAME, "user": NODE_NAME}}],
            "clusters": [
                {
                    "name": NODE_NAME,
                    "cluster": {"server": server, "certificate-authority": str(authority)},
                }
            ],
            "users": [
                {
                    "name": NODE_NAME,
                    "user": {
                        "client-certificate": str(pair.certificate),
                        "client-key": str(pair.key),
                    },
                }
            ],
        },
        indent=2,
    )


def _containerd(directory: Path, cni_plugins: Path, may_lower_oom_score: bool) -> str:
    return f"""\
version = 2
root = "/var/lib/containerd"
state = "/run/containerd"
[grpc]
address = "{CONTAINERD_SOCKET}"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{PAUSE_IMAGE}"
# A process that may not lower oom_score_adj (no CAP_SYS_RESOURCE) cannot start a container else.
restrict_oom_score_adj = {str(not may_lower_oom_score).lower()}
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "{cni_plugins}"
conf_dir = "{directory / "cni"}"
"""


# Point to point, no bridge: every packet is routed, so Services work where the kernel has no
# br_netfilter.
_CNI: Mapping[str, object] = {
    "cniVersion": "1.0.0",
    "name": "pods",
    "plugins": [
        {
            "type": "ptp",
            "ipam": {"type": "host-local", "subnet": _PODS, "routes": [{"dst": "0.0.0.0/0"}]},
        },
        {"type": "portmap", "capabilities": {"portMappings": True}},
    ],
}


def _kubelet(directory: Path, authority: Authority, pair: Pair) -> Mapping[str, object]:
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(authority.files.certificate)},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": str(pair.certificate),
        "tlsPrivateKeyFile": str(pair.key),
        "address": NODE_ADDRESS,
        "clusterDomain": "cluster.local",
        "clusterDNS": [DNS_ADDRESS],
        "resolvConf": str(directory / "resolv.conf"),
        "containerRuntimeEndpoint": f"unix://{CONTAINERD_SOCKET}",
        "cgroupDriver": "cgroupfs",
        "failCgroupV1": False,
        "failSwapOn": False,
        "enforceNodeAllocatable": [],
        # The disk is the machine's; what fills it is not for this node to judge.
        "evictionHard": {"memory.available": "100Mi", "nodefs.available": "1%"},
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
        "makeIPTablesUtilChains": True,
        "syncFrequency": "10s",
    }


def _proxy(kubeconfig: Path) -> Mapping[str, object]:
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "clientConnection": {"kubeconfig": str(kubeconfig)},
        "mode": "iptables",
        "clusterCIDR": _PODS,
        "hostnameOverride": NODE_NAME,
        # Of the whole machine, and not for a namespace to set.
        "conntrack": {"maxPerCore": 0, "min": 0},
        "nodePortAddresses": ["127.0.0.0/8"],
    }
