"""A web server that tells what it saw of each request: HTTP/1.1 and HTTP/2, plain or by TLS of its own.

python3 web.py [ADDRESS:]PORT NAME [CERTIFICATE KEY]
"""

import asyncio
import json
import signal
import sys

from hypercorn.asyncio import serve
from hypercorn.config import Config


def app(name):
    async def answer(scope, receive, send):
        if scope["type"] == "lifespan":
            return
        if scope["type"] == "websocket":
            return await talk(receive, send)
        body = b""
        more = True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        seen = {
            "name": name,
            "version": scope["http_version"],
            "scheme": scope["scheme"],
            "path": scope["path"],
            "headers": {key.decode(): value.decode() for key, value in scope["headers"]},
            "bytes": len(body),
        }
        headers = [(b"content-type", b"application/json"), (b"x-served-by", name.encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": json.dumps(seen).encode()})

    return answer


async def talk(receive, send):
    """Says each text of a WebSocket back."""
    while True:
        message = await receive()
        if message["type"] == "websocket.connect":
            await send({"type": "websocket.accept"})
        elif message["type"] == "websocket.receive":
            await send({"type": "websocket.send", "text": message["text"]})
        else:
            return


async def main(port, name, certificate=None, key=None):
    config = Config()
    config.bind = [port if ":" in port else f"0.0.0.0:{port}"]
    config.certfile, config.keyfile = certificate, key
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await serve(app(name), config, shutdown_trigger=stop.wait)


asyncio.run(main(*sys.argv[1:]))
