"""A control plane over a folder of files, and what a client of it needs: a token, a certificate, the roots."""

import datetime
import json
import os
import pathlib
import subprocess
import tempfile
import time
import urllib.request

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

import base64
import socket

# Far more than anything here takes, in seconds.
PATIENCE = 40
# Enough for each of three endpoints to have some: one goes without once in 140,000 times.
USERS, ROUNDS = [f"user-{number}" for number in range(32)], 3
ACCOUNT = "spiffe://cluster.local/ns/default/sa/client"


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def until(what, look):
    """Looks again and again until `look` finds something that is true."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        try:
            found = look()
        except OSError:
            found = None
        if found:
            return found
        time.sleep(0.02)
    raise AssertionError(f"in {PATIENCE} s it did not happen that {what}")


def pem_of(key):
    form = serialization.PrivateFormat.PKCS8
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())


class Plane:
    """The process, and its folder. It ends with the `with` block."""

    def __init__(self, program):
        self.program = program
        self.scratch = tempfile.TemporaryDirectory()
        self.folder = pathlib.Path(self.scratch.name)
        (self.folder / "files").mkdir()
        self.issuer = ec.generate_private_key(ec.SECP256R1())
        form = serialization.PublicFormat.SubjectPublicKeyInfo
        public = self.issuer.public_key().public_bytes(serialization.Encoding.PEM, form)
        (self.folder / "issuer.pub").write_bytes(public)
        self.xds, self.admin = free_port(), free_port()

    def __enter__(self):
        folder = self.folder
        config = {
            "listen": f"127.0.0.1:{self.xds}",
            "admin": f"127.0.0.1:{self.admin}",
            "source": {"directory": str(folder / "files")},
            "authority": {"directory": str(folder / "ca")},
            "authentication": {"localIssuer": {"publicKey": str(folder / "issuer.pub")}},
        }
        (folder / "config.yaml").write_text(json.dumps(config))
        arguments = [*self.program, "--config", str(folder / "config.yaml")]
        self.log = open(folder / "control-plane.log", "w+")
        self.process = subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=self.log, stderr=self.log)
        until("the control plane is ready", lambda: self.get("/ready"))
        return self

    def __exit__(self, kind, *_):
        self.process.kill()
        self.process.wait()
        if kind:
            self.log.seek(0)
            print(self.log.read())
        self.log.close()
        self.scratch.cleanup()

    def get(self, path):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.admin}{path}", timeout=5) as answer:
            return answer.read().decode()

    def write(self, name, objects):
        hidden = self.folder / "files" / f".{name}"
        hidden.write_text("\n---\n".join(json.dumps(one) for one in objects))
        os.replace(hidden, self.folder / "files" / name)

    def token(self):
        """A token as local mode makes them."""
        now = int(time.time())
        claims = {
            "iss": "https://local.weft.dev",
            "sub": "system:serviceaccount:default:client",
            "aud": ["weft.dev"],
            "iat": now,
            "nbf": now,
            "exp": now + 3600,
            "kubernetes.io": {
                "namespace": "default",
                "serviceaccount": {"name": "client"},
                "pod": {"name": "client", "uid": "1"},
            },
        }
        encode = lambda data: base64.urlsafe_b64encode(data).rstrip(b"=")
        parts = [encode(json.dumps(part).encode()) for part in ({"alg": "ES256", "typ": "JWT"}, claims)]
        r, s = utils.decode_dss_signature(self.issuer.sign(b".".join(parts), ec.ECDSA(hashes.SHA256())))
        return b".".join([*parts, encode(r.to_bytes(32, "big") + s.to_bytes(32, "big"))]).decode()

    def certificate(self):
        """Writes `client.pem` and `client.key`, signed by the authority of the mesh, and returns their paths."""
        authority = x509.load_pem_x509_certificate((self.folder / "ca/ca.crt").read_bytes())
        signer = serialization.load_pem_private_key((self.folder / "ca/ca.key").read_bytes(), None)
        key = ec.generate_private_key(ec.SECP256R1())
        now = datetime.datetime.now(datetime.timezone.utc)
        uri = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(ACCOUNT)])
        uses = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH])
        certificate = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([]))
            .issuer_name(authority.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(minutes=1))
            .not_valid_after(now + datetime.timedelta(hours=1))
            .add_extension(uri, critical=True)
            .add_extension(uses, critical=False)
            .sign(signer, hashes.SHA256())
        )
        paths = self.folder / "client.pem", self.folder / "client.key"
        paths[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        paths[1].write_bytes(pem_of(key))
        return paths

    @property
    def roots(self):
        return self.folder / "ca/bundle.pem"


def service(name, ports, protocol="http"):
    """A service that runs at each of `ports` of this machine, each in a zone of its own."""
    slices = [
        {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {"name": f"{name}-{port}", "labels": {"kubernetes.io/service-name": name}},
            "addressType": "IPv4",
            "ports": [{"name": "main", "port": port}],
            "endpoints": [{"addresses": ["127.0.0.1"], "zone": f"zone-{port}"}],
        }
        for port in ports
    ]
    spec = {"ports": [{"name": "main", "port": 80, "appProtocol": protocol}]}
    return [{"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec}, *slices]


def route(name, backend):
    """A route that leads what goes to the service `name` to the service `backend`."""
    parent = {"group": "", "kind": "Service", "name": name, "port": 80}
    rules = [{"backendRefs": [{"name": backend, "port": 80}]}]
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": {"name": name},
        "spec": {"parentRefs": [parent], "rules": rules},
    }


def balancer(name, **spec):
    """How the endpoints of the service `name` are chosen."""
    target = {"group": "", "kind": "Service", "name": name}
    return {
        "apiVersion": "policy.weft.dev/v1alpha1",
        "kind": "LoadBalancerPolicy",
        "metadata": {"name": name},
        "spec": {"targetRefs": [target]} | spec,
    }


def homes(ask):
    """By whom each of some users is answered, every time; None if one is answered by several."""
    answers = {user: {ask(user) for _ in range(ROUNDS)} for user in USERS}
    if all(len(names) == 1 for names in answers.values()):
        return {user: names.pop() for user, names in answers.items()}
