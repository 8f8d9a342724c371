"""A gRPC server that answers what it was sent: a real one, which knows nothing of a mesh.

python3 grpc_server.py [ADDRESS:]PORT
"""

import sys
from concurrent.futures import ThreadPoolExecutor

import grpc

# Messages are bytes as they come: what is tried here is what lies below them.
SERVICE = "weft.test.Echo"


def once(request, context):
    context.set_trailing_metadata((("x-trailer", "after the message"),))
    return request


def many(request, context):
    """The message as often as it says."""
    for number in range(int(request)):
        yield str(number).encode()


def talk(requests, context):
    """An answer for each message, while more of them come."""
    for request in requests:
        yield request.upper()


def refuse(request, context):
    context.abort(grpc.StatusCode.FAILED_PRECONDITION, "not today")


def main(port):
    handlers = {
        "Once": grpc.unary_unary_rpc_method_handler(once),
        "Many": grpc.unary_stream_rpc_method_handler(many),
        "Talk": grpc.stream_stream_rpc_method_handler(talk),
        "Refuse": grpc.unary_unary_rpc_method_handler(refuse),
    }
    server = grpc.server(ThreadPoolExecutor(max_workers=8))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
    server.add_insecure_port(port if ":" in port else f"0.0.0.0:{port}")
    server.start()
    print("serving", flush=True)
    server.wait_for_termination()


main(sys.argv[1])
