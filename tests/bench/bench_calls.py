"""The public API from Python: messages made from the .proto files at run time, calls through grpc. Nothing generated is kept."""
import hashlib
import os
import pathlib
import subprocess
import tempfile

os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
try:
    import grpc
    from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory
except ImportError:
    raise SystemExit("this program needs Debian's python3-grpcio and python3-protobuf: apt-get install python3-grpcio python3-protobuf")

PROTO = pathlib.Path(__file__).resolve().parents[2] / "proto"
FILES = ["coffer/v1/chunks.proto", "coffer/v1/cluster.proto", "coffer/v1/zones.proto"]
# A call may answer later than its deadline by this much of scheduling; it is then counted by when it was answered.
CHANNEL = [("grpc.enable_http_proxy", 0), ("grpc.max_receive_message_length", 64 << 20)]


def message_classes():
    with tempfile.NamedTemporaryFile(suffix=".set") as out:
        subprocess.run(["protoc", f"-I{PROTO}", "--include_imports", f"--descriptor_set_out={out.name}", *FILES], check=True)
        files = descriptor_pb2.FileDescriptorSet.FromString(pathlib.Path(out.name).read_bytes())
    pool = descriptor_pool.DescriptorPool()
    for file in files.file:
        pool.Add(file)
    return pool, message_factory.MessageFactory(pool)


class Api:
    """One router's API. Calls take and return messages; `raw` ones take bytes that were serialised before."""

    def __init__(self, address):
        self.pool, self.factory = message_classes()
        self.channel = grpc.insecure_channel(address, CHANNEL)
        self.methods = {}

    def type(self, name):
        return self.factory.GetPrototype(self.pool.FindMessageTypeByName("coffer.v1." + name))

    def make(self, name, /, **fields):
        return self.type(name)(**fields)

    def method(self, name, stream=False, raw=False):
        """`name` is such as "Chunks/Put"."""
        key = (name, stream, raw)
        if key not in self.methods:
            service, method = name.split("/")
            described = self.pool.FindServiceByName("coffer.v1." + service).FindMethodByName(method)
            request, response = (self.factory.GetPrototype(t) for t in (described.input_type, described.output_type))
            make = self.channel.unary_stream if stream else self.channel.unary_unary
            self.methods[key] = make(f"/coffer.v1.{service}/{method}", request_serializer=None if raw else request.SerializeToString,
                                     response_deserializer=response.FromString)
        return self.methods[key]

    def call(self, name, request, seconds=10):
        return self.method(name)(request, timeout=seconds)

    def status(self, seconds=2):
        return self.call("Cluster/GetStatus", self.make("GetStatusRequest"), seconds).status

    def state(self, member):
        """The word of a member's state: UP, DOWN, ..."""
        field = self.pool.FindMessageTypeByName("coffer.v1.MemberStatus").fields_by_name["state"]
        return field.enum_type.values_by_number[member.state].name[len("MEMBER_STATE_"):]

    def zone_id(self, name):
        """Creates the zone unless it exists; its 16 bytes."""
        try:
            return self.call("Zones/Create", self.make("ZonesCreateRequest", name=name), 20).zone.id
        except grpc.RpcError as e:
            if e.code() != grpc.StatusCode.ALREADY_EXISTS:
                raise
        return next(z.id for z in self.call("Zones/List", self.make("ZonesListRequest")).zones if z.name == name)

    def plan(self, change=None):
        return self.call("Cluster/Plan", self.make("PlanRequest", change=change))

    def json(self, message):
        return json_format.MessageToDict(message, preserving_proto_field_name=True)


def partition_of(zone_id, block_id, partitions):
    return int.from_bytes(hashlib.sha256(zone_id + block_id).digest()[:8], "big") % partitions
