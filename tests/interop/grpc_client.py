"""A proxyless gRPC client of the control plane, over the state of the world: balanced, and following what changes.

grpc_client.py HOW PROGRAM...: HOW is `token` or `certificate`, PROGRAM starts a control plane.
"""

import json
import os
import sys
from concurrent.futures import ThreadPoolExecutor

from plane import Plane, balancer, free_port, homes, route, service, until

HOW, PROGRAM = sys.argv[1], sys.argv[2:]
# gRFC A97: in grpcio 1.85 still behind a switch.
os.environ["GRPC_EXPERIMENTAL_XDS_BOOTSTRAP_CALL_CREDS"] = "true"
METHOD = "/interop.Echo/Name"
CALLS = 40


def application(grpc, name):
    """A gRPC server that answers with its name."""
    port = free_port()
    server = grpc.server(ThreadPoolExecutor(4))
    answer = grpc.unary_unary_rpc_method_handler(lambda request, context: name.encode())
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("interop.Echo", {"Name": answer})])
    assert server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    return server, port


def bootstrap(plane):
    tls = {"ca_certificate_file": str(plane.roots)}
    server = {"server_uri": f"localhost:{plane.xds}", "server_features": ["xds_v3"]}
    if HOW == "certificate":
        certificate, key = plane.certificate()
        tls |= {"certificate_file": str(certificate), "private_key_file": str(key)}
    else:
        token = plane.folder / "token"
        token.write_text(plane.token())
        server["call_creds"] = [{"type": "jwt_token_file", "config": {"jwt_token_file": str(token)}}]
    server["channel_creds"] = [{"type": "tls", "config": tls}]
    return json.dumps({"xds_servers": [server], "node": {"id": "interop"}})


def affinity(plane, call, names, ports):
    """Calls go by their hash, and the hash always to the same endpoint."""
    of = lambda user: call(b"", wait_for_ready=True, timeout=30, metadata=[("x-user", user)]).decode()
    home = lambda: homes(of)
    by_all = lambda: (now := home()) and set(now.values()) == {"a", "b", "c"} and now
    plane.write("echo.yaml", service("echo", [ports[name] for name in "abc"], "grpc"))
    # Of Maglev gRPC knows nothing, and takes the ring that stands behind it.
    for algorithm in ("RingHash", "Maglev"):
        plane.write("balancer.yaml", [balancer("echo", algorithm=algorithm, hashOn=[{"header": "x-user"}])])
        settled = until(f"{algorithm} decides", by_all)
        plane.write("echo.yaml", service("echo", [ports["a"], ports["b"]], "grpc"))
        until("the endpoint that was removed is gone", lambda: (now := home()) and "c" not in now.values())
        plane.write("echo.yaml", service("echo", [ports[name] for name in "abc"], "grpc"))
        until("all is as it was before", lambda: home() == settled)
        plane.write("balancer.yaml", [])
        until("turns decide", lambda: not home())
    plane.write("echo.yaml", service("echo", [ports["a"], ports["b"]], "grpc"))
    plane.write("balancer.yaml", [balancer("echo", algorithm="RoundRobin", slowStart={"window": "30s"})])
    until("turns are taken again", lambda: abs((shares := names()).count("a") - shares.count("b")) <= 4)
    plane.write("balancer.yaml", [balancer("echo", algorithm="Random")])
    until("they are so of what is not known", lambda: abs((shares := names()).count("a") - shares.count("b")) <= 4)
    plane.write("balancer.yaml", [])


def main(plane):
    os.environ["GRPC_XDS_BOOTSTRAP_CONFIG"] = bootstrap(plane)
    # Reads the bootstrap.
    import grpc

    applications = {name: application(grpc, name) for name in ("a", "b", "c")}
    ports = {name: port for name, (_, port) in applications.items()}
    plane.write("echo.yaml", service("echo", [ports["a"], ports["b"]], "grpc"))
    plane.write("other.yaml", service("other", [ports["c"]], "grpc"))

    with grpc.insecure_channel("xds:///echo.default.svc.cluster.local:80") as channel:
        call = channel.unary_unary(METHOD)
        names = lambda: [call(b"", wait_for_ready=True, timeout=30).decode() for _ in range(CALLS)]
        answered_by = lambda expected: lambda: set(names()) == expected

        until("both endpoints answer", answered_by({"a", "b"}))
        # Turns are taken.
        shares = names()
        assert abs(shares.count("a") - shares.count("b")) <= 4, shares
        affinity(plane, call, names, ports)
        plane.write("echo.yaml", service("echo", [ports["b"]], "grpc"))
        until("the endpoint that was removed is gone", answered_by({"b"}))
        plane.write("route.yaml", [route("echo", "other")])
        until("the route leads elsewhere", answered_by({"c"}))

        proxies = json.loads(plane.get("/proxies"))
        kinds = {kind["kind"]: kind for kind in proxies[0]["kinds"]}
        assert len(proxies) == 1 and proxies[0]["serviceAccount"] == "client", proxies
        assert proxies[0]["workload"] == ("" if HOW == "certificate" else "client"), proxies
        assert not any(kind["nack"] for kind in kinds.values()), kinds
        wanted = {"Listener", "RouteConfiguration", "Cluster", "ClusterLoadAssignment"}
        assert set(kinds) == wanted, kinds


with Plane(PROGRAM) as plane:
    main(plane)
print("passed")
