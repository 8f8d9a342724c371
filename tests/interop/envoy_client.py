"""Envoy as a client of the control plane, over delta ADS: routes, clusters and endpoints warm, serve, change and go.

envoy_client.py HOW PROGRAM...: HOW is `token` or `certificate`, PROGRAM starts a control plane.
"""

import http.client
import http.server
import json
import pathlib
import subprocess
import sys
import threading
import urllib.error
import urllib.parse
import urllib.request

from plane import Plane, balancer, free_port, homes, route, service, until

HOW, PROGRAM = sys.argv[1], sys.argv[2:]
ENVOY = pathlib.Path(sys.executable).parent / "envoy"
CONTROL_PLANE = "spiffe://cluster.local/ns/weft-system/sa/weft-control-plane"
TYPES = "type.googleapis.com/envoy.extensions."
ADS = {"resource_api_version": "V3", "ads": {}}
REQUESTS = 40


def application(name):
    """An HTTP server that answers with its name, and in a header with what it was asked."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # Headers and body together: apart, the second waits for an acknowledgement of the first, for 40 ms.
        wbufsize = -1

        def do_GET(self):
            self.send_response(200)
            self.send_header("content-length", str(len(name)))
            self.send_header("x-seen", f"{self.path} {self.headers['host']} {self.headers['x-env']}")
            self.end_headers()
            self.wfile.write(name.encode())

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_address[1]


def address(port):
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def listener(port):
    """A listener of Envoy's own that takes its routes from the control plane."""
    kinds = {"cors": "cors.v3.Cors", "router": "router.v3.Router"}
    http_filters = [
        {"name": f"envoy.filters.http.{name}", "typed_config": {"@type": f"{TYPES}filters.http.{kind}"}}
        for name, kind in kinds.items()
    ]
    manager = {
        "@type": TYPES + "filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "interop",
        "rds": {"route_config_name": "default/echo:80", "config_source": ADS},
        "http_filters": http_filters,
    }
    filters = [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]
    return {"name": "outbound", "address": address(port), "filter_chains": [{"filters": filters}]}


def control_plane(plane):
    """The cluster of the control plane: known by its SPIFFE id, over TLS."""
    matcher = {"san_type": "URI", "matcher": {"exact": CONTROL_PLANE}}
    common = {
        "tls_params": {"tls_minimum_protocol_version": "TLSv1_3", "tls_maximum_protocol_version": "TLSv1_3"},
        "validation_context": {
            "trusted_ca": {"filename": str(plane.roots)},
            "match_typed_subject_alt_names": [matcher],
        },
    }
    if HOW == "certificate":
        certificate, key = map(str, plane.certificate())
        pair = {"certificate_chain": {"filename": certificate}, "private_key": {"filename": key}}
        common["tls_certificates"] = [pair]
    tls = {"@type": TYPES + "transport_sockets.tls.v3.UpstreamTlsContext", "common_tls_context": common}
    http2 = {"explicit_http_config": {"http2_protocol_options": {}}}
    options = {"@type": TYPES + "upstreams.http.v3.HttpProtocolOptions"} | http2
    endpoints = [{"lb_endpoints": [{"endpoint": {"address": address(plane.xds)}}]}]
    return {
        "name": "weft",
        "type": "STATIC",
        "load_assignment": {"cluster_name": "weft", "endpoints": endpoints},
        "transport_socket": {"name": "envoy.transport_sockets.tls", "typed_config": tls},
        "typed_extension_protocol_options": {TYPES.partition("/")[2] + "upstreams.http.v3.HttpProtocolOptions": options},
    }


def bootstrap(plane, port, admin):
    service = {"envoy_grpc": {"cluster_name": "weft"}}
    if HOW == "token":
        bearer = {"key": "authorization", "value": f"Bearer {plane.token()}"}
        service["initial_metadata"] = [bearer]
    ads = {"api_type": "DELTA_GRPC", "transport_api_version": "V3", "grpc_services": [service]}
    return {
        "node": {"id": "interop", "cluster": "interop"},
        "admin": {"address": address(admin)},
        "dynamic_resources": {"ads_config": ads, "cds_config": ADS},
        "static_resources": {"listeners": [listener(port)], "clusters": [control_plane(plane)]},
    }


def get(url):
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return answer.read().decode()
    except urllib.error.HTTPError as error:
        return str(error.code)


class NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_):
        return None


def ask(url, headers={}):
    """Status and headers of the answer, wherever it leads."""
    request = urllib.request.Request(url, headers=headers)
    try:
        answer = urllib.request.build_opener(NoRedirects).open(request, timeout=10)
    except urllib.error.HTTPError as error:
        answer = error
    with answer:
        return answer.status, answer.headers


def filters(plane, url):
    """Every filter does at Envoy what it does at a sidecar."""
    replace = lambda to: {"path": {"type": "ReplacePrefixMatch", "replacePrefixMatch": to}}
    cors = {"allowOrigins": ["https://*.shop.example"], "allowCredentials": True}
    mirror = {"backendRef": {"name": "other", "port": 80}, "fraction": {"numerator": 1, "denominator": 3}}
    edited = [
        {"type": "URLRewrite", "urlRewrite": {"hostname": "new.example"} | replace("/")},
        {"type": "RequestHeaderModifier", "requestHeaderModifier": {"set": [{"name": "x-env", "value": "100%"}]}},
        {"type": "ResponseHeaderModifier", "responseHeaderModifier": {"add": [{"name": "x-by", "value": "a%20b"}]}},
        {"type": "CORS", "cors": cors},
        {"type": "RequestMirror", "requestMirror": mirror},
    ]
    moved = {"type": "RequestRedirect", "requestRedirect": {"statusCode": 308} | replace("/new/")}
    away = {"type": "RequestRedirect", "requestRedirect": {"scheme": "https", "hostname": "other.example"}}
    rules = [
        {"matches": [{"path": {"value": "/old"}}], "filters": [moved]},
        {"matches": [{"path": {"value": "/away"}}], "filters": [away]},
        {"matches": [{"path": {"value": "/v1/"}}], "filters": edited},
        {"matches": [{"path": {"value": "/"}}], "filters": [{"type": "URLRewrite", "urlRewrite": replace("/all")}]},
    ]
    with_filters = route("echo", "echo")
    backends = with_filters["spec"]["rules"][0]["backendRefs"]
    for rule in rules[2:]:
        rule["backendRefs"] = backends
    with_filters["spec"]["rules"] = rules
    plane.write("route.yaml", [with_filters])
    until("the routes have filters", lambda: ask(url + "old")[0] == 308)
    place = lambda path: ask(url + path)[1]["location"]
    assert place("old/a?b") == url + "new/a?b", place("old/a?b")
    assert place("away") == "https://other.example/away", place("away")
    seen = lambda path: ask(url + path)[1]["x-seen"]
    assert seen("v1/a?b") == "/a?b new.example 100%", seen("v1/a?b")
    assert seen("v1").startswith("/ "), seen("v1")
    assert seen("a").startswith("/all/a "), seen("a")
    _, headers = ask(url + "v1", {"origin": "https://a.shop.example"})
    assert headers["x-by"] == "a%20b", headers
    assert headers["access-control-allow-origin"] == "https://a.shop.example", headers
    _, headers = ask(url + "v1", {"origin": "https://other.example"})
    assert headers["access-control-allow-origin"] is None, headers


def affinity(plane, url, ports):
    """Requests go by their hash, and the hash always to the same endpoint."""

    connection = http.client.HTTPConnection(urllib.parse.urlsplit(url).netloc, timeout=10)

    def body(headers):
        connection.request("GET", "/", headers=headers)
        return connection.getresponse().read().decode()

    home = lambda: homes(lambda user: body({"x-user": user}))
    for algorithm in ("RingHash", "Maglev"):
        plane.write("echo.yaml", service("echo", [ports[name] for name in "abc"]))
        plane.write("balancer.yaml", [balancer("echo", algorithm="LeastRequest")])
        until("load decides", lambda: not home())
        keys = [{"header": "x-user"}, {"cookie": {"name": "cart", "ttl": "1h", "path": "/"}}]
        plane.write("balancer.yaml", [balancer("echo", algorithm=algorithm, hashOn=keys)])
        by_all = lambda: (now := home()) and set(now.values()) == {"a", "b", "c"} and now
        settled = until(f"{algorithm} decides", by_all)

        # Without the header there is a cookie, which leads to the same endpoint again.
        _, headers = ask(url)
        cookie = headers["set-cookie"]
        assert cookie.startswith("cart=") and "Path=/" in cookie and "Max-Age=3600" in cookie, cookie
        assert len({body({"cookie": cookie.partition(";")[0]}) for _ in range(REQUESTS)}) == 1
        # What is known of the user counts before it.
        assert {user: body({"x-user": user, "cookie": cookie}) for user in settled} == settled

        plane.write("echo.yaml", service("echo", [ports["a"], ports["b"]]))
        until("the endpoint that was removed is gone", lambda: (now := home()) and "c" not in now.values())
        plane.write("echo.yaml", service("echo", [ports[name] for name in "abc"]))
        until("all is as it was before", lambda: home() == settled)
    plane.write("balancer.yaml", [])
    until("nothing is said of it any more", lambda: not home())
    plane.write("echo.yaml", service("echo", [ports["b"]]))
    until("one endpoint is left", lambda: set((home() or {}).values()) == {"b"})


def story(plane, port, admin, ports):
    url = f"http://127.0.0.1:{port}/"
    answered_by = lambda expected: lambda: {get(url) for _ in range(REQUESTS)} == expected
    until("both endpoints answer", answered_by({"a", "b"}))
    plane.write("echo.yaml", service("echo", [ports["b"]]))
    until("the endpoint that was removed is gone", answered_by({"b"}))
    plane.write("route.yaml", [route("echo", "other")])
    until("the route leads elsewhere", answered_by({"c"}))

    # An expression that the control plane understands and Envoy does not.
    bad = route("echo", "echo")
    match = {"path": {"type": "RegularExpression", "value": "(?x) /.*"}}
    bad["spec"]["rules"][0]["matches"] = [match]
    plane.write("route.yaml", [bad])
    refused = lambda: {kind["kind"]: kind for kind in json.loads(plane.get("/proxies"))[0]["kinds"]}
    nack = until("the refusal is seen", lambda: refused()["RouteConfiguration"]["nack"])
    assert "invalid perl operator" in nack["message"], nack
    assert answered_by({"c"})(), "the last good routes stay"
    plane.write("route.yaml", [route("echo", "echo")])
    until("better routes are taken", answered_by({"b"}))
    assert not refused()["RouteConfiguration"]["nack"]

    filters(plane, url)
    plane.write("route.yaml", [route("echo", "echo")])
    until("the routes have no filters", lambda: ask(url + "old")[0] == 200)
    affinity(plane, url, ports)

    clusters = lambda: {line.partition("::")[0] for line in get(f"http://127.0.0.1:{admin}/clusters").splitlines()}
    assert clusters() == {"weft", "default/echo:80", "default/other:80"}, clusters()
    plane.write("other.yaml", [])
    until("the cluster that was removed is gone", lambda: clusters() == {"weft", "default/echo:80"})
    assert not any(kind["nack"] for kind in refused().values()), refused()


def main(plane):
    ports = {name: application(name) for name in ("a", "b", "c")}
    plane.write("echo.yaml", service("echo", [ports["a"], ports["b"]]))
    plane.write("other.yaml", service("other", [ports["c"]]))
    port, admin = free_port(), free_port()
    config = plane.folder / "envoy.json"
    config.write_text(json.dumps(bootstrap(plane, port, admin)))
    log = open(plane.folder / "envoy.log", "w+")
    arguments = [ENVOY, "-c", config, "--concurrency", "1", "--use-dynamic-base-id", "--log-level", "info"]
    envoy = subprocess.Popen(arguments, stdout=log, stderr=log)
    try:
        story(plane, port, admin, ports)
    except BaseException:
        log.seek(0)
        print(log.read()[-8000:])
        raise
    finally:
        envoy.kill()
        envoy.wait()


with Plane(PROGRAM) as plane:
    main(plane)
print("passed")
