"""coffer.v1 from Python: the messages, made from proto/ by protoc, and calls over gRPC without generated stubs.

Needs Debian's python3-grpcio and python3-protobuf, so the tests that use it run with the system's own interpreter.
"""
import atexit
import pathlib
import shutil
import subprocess
import sys
import tempfile

import grpc

_PROTO = pathlib.Path(__file__).resolve().parents[2] / "proto"
_made = tempfile.mkdtemp(prefix="coffer-api-")
atexit.register(shutil.rmtree, _made, ignore_errors=True)
_sources = [*sorted(_PROTO.glob("coffer/v1/*.proto")), *sorted(_PROTO.glob("google/rpc/*.proto"))]
subprocess.run(["protoc", f"-I{_PROTO}", f"--python_out={_made}", *map(str, _sources)], check=True)
sys.path.insert(0, _made)
# google.rpc lives in the made folder, google.protobuf in the system's.
import google  # noqa: E402

google.__path__ = [*google.__path__, _made + "/google"]
from coffer.v1 import chains_pb2, chunks_pb2, cluster_pb2, consistency_pb2, zones_pb2  # noqa: E402,F401
from google.rpc import error_details_pb2, status_pb2  # noqa: E402


def _calls(service, module):
    """"Service/Method" -> (request type, response type)"""
    descriptor = module.DESCRIPTOR.services_by_name[service]
    return {f"{service}/{m.name}": (m.input_type._concrete_class, m.output_type._concrete_class) for m in descriptor.methods}


TYPES = {**_calls("Chunks", chunks_pb2), **_calls("Chains", chains_pb2), **_calls("Zones", zones_pb2), **_calls("Cluster", cluster_pb2)}


class Refused(Exception):
    """A call that ended with a status other than OK."""
    unknown = None  # whether it may have happened all the same: a client that repeats nothing has to judge by the status

    def __init__(self, error):
        self.code = error.code()
        self.text = error.details() or ""
        self.reason = ""
        for key, value in error.trailing_metadata() or ():
            if key == "grpc-status-details-bin":
                for detail in status_pb2.Status.FromString(value).details:
                    info = error_details_pb2.ErrorInfo()
                    if detail.Is(info.DESCRIPTOR) and detail.Unpack(info):
                        self.reason = info.reason
        super().__init__(f"{self.code.name} {self.reason}: {self.text}")


class Api:
    """Calls to one router. Thread-safe."""

    def __init__(self, address, options=()):
        self.channel = grpc.insecure_channel(address, options=[
            ("grpc.max_receive_message_length", -1), ("grpc.initial_reconnect_backoff_ms", 50), ("grpc.max_reconnect_backoff_ms", 500),
            ("grpc.use_local_subchannel_pool", 1), *options])

    def call(self, method, timeout=10, metadata=None, **fields):
        """One unary call: `call("Zones/Create", name="a")`."""
        request, response = TYPES[method]
        unary = self.channel.unary_unary(f"/coffer.v1.{method}", request.SerializeToString, response.FromString)
        try:
            return unary(request(**fields), timeout=timeout, metadata=metadata)
        except grpc.RpcError as e:
            raise Refused(e) from None

    def stream(self, method, timeout=10, **fields):
        """One server-streaming call, read to its end."""
        request, response = TYPES[method]
        many = self.channel.unary_stream(f"/coffer.v1.{method}", request.SerializeToString, response.FromString)
        try:
            return list(many(request(**fields), timeout=timeout))
        except grpc.RpcError as e:
            raise Refused(e) from None

    def close(self):
        self.channel.close()


class Roaming:
    """Calls to whichever of these routers answered last, none of them repeated: a call that had no answer in time, or found nobody, fails,
    and the next one goes to another router. For one thread at a time."""

    def __init__(self, routers, patience=2):
        self.apis, self.patience = [Api(address) for address in routers], patience
        self.answered = 0  # calls

    def ask(self, how, method, timeout, fields):
        try:
            answer = getattr(self.apis[0], how)(method, timeout=min(timeout, self.patience), **fields)
        except Refused as e:
            if e.code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
                self.apis.append(self.apis.pop(0))
            raise
        self.answered += 1
        return answer

    def call(self, method, timeout=10, **fields):
        return self.ask("call", method, timeout, fields)

    def stream(self, method, timeout=10, **fields):
        return self.ask("stream", method, timeout, fields)

    def close(self):
        for api in self.apis:
            api.close()
