"""A gRPC client that tries every kind of call, and tells as JSON what came back.

python3 grpc_client.py HOST:PORT
"""

import json
import queue
import sys

import grpc

SERVICE = "weft.test.Echo"
# Seconds that a call may take.
PATIENCE = 20
CALLS = 200
MESSAGES = 1000


def once(channel):
    call = channel.unary_unary(f"/{SERVICE}/Once")
    right = 0
    for number in range(CALLS):
        sent = f"call {number}".encode()
        answer, state = call.with_call(sent, timeout=PATIENCE)
        trailers = dict(state.trailing_metadata())
        right += answer == sent and trailers.get("x-trailer") == "after the message"
    return right


def large(channel):
    """3 MiB each way: many frames, and windows that are used up."""
    sent = bytes(range(256)) * (3 * 4096)
    return channel.unary_unary(f"/{SERVICE}/Once")(sent, timeout=PATIENCE) == sent


def many(channel):
    answers = channel.unary_stream(f"/{SERVICE}/Many")(str(MESSAGES).encode(), timeout=PATIENCE)
    return list(answers) == [str(number).encode() for number in range(MESSAGES)]


def talk(channel):
    """One message after another, each only when the one before has been answered: nothing may hold them back."""
    to_send = queue.Queue()
    to_send.put(b"message 0")
    answers = channel.stream_stream(f"/{SERVICE}/Talk")(iter(to_send.get, None), timeout=PATIENCE)
    right = 0
    for number, answer in enumerate(answers):
        right += answer == b"MESSAGE %d" % number
        to_send.put(b"message %d" % (number + 1) if number + 1 < CALLS else None)
    return right


def refuse(channel):
    try:
        channel.unary_unary(f"/{SERVICE}/Refuse")(b"", timeout=PATIENCE)
    except grpc.RpcError as error:
        return [error.code().name, error.details()]
    return None


with grpc.insecure_channel(sys.argv[1]) as channel:
    told = {call.__name__: call(channel) for call in (once, large, many, talk, refuse)}
    print(json.dumps(told))
