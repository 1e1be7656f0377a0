"""What a process spends its time on, of folded stacks: a share of the samples for each kind of work."""

# The first that any frame of a stack answers to counts, so that what LevelDB's merges allocate or write is theirs.
WITHIN = [
    ("merges", ("leveldb::DBImpl::BackgroundCall", "leveldb::DBImpl::BackgroundCompaction")),
    ("sync", ("fdatasync", "fsync", "do_fsync")),
    ("files", ("__libc_pwrite", "pwrite64", "preadv64", "preadv", "pwritev", "openat", "vfs_read", "vfs_write", "vfs_unlink")),
    ("TCP", ("__libc_sendmsg", "__libc_recvmsg", "sendmsg", "recvmsg", "tcp_sendmsg", "tcp_recvmsg", "net_rx_action")),
    ("waiting, waking", ("epoll_wait", "do_epoll_wait", "futex_wait", "do_futex", "__schedule", "schedule", "pthread_cond_signal@@GLIBC_2.3.2")),
]
# By the innermost frame.
LEAF = [
    ("allocation", ("_int_malloc", "_int_free", "malloc", "cfree@GLIBC_2.2.5", "unlink_chunk.constprop.0", "malloc_consolidate", "operator new",
                    "operator delete", "calloc", "realloc", "_int_realloc", "tcache_init.part.0")),
    ("copying, comparing", ("__memmove", "__memcpy", "__memset", "__memcmp", "_copy_to_iter", "_copy_from_iter", "copy_page")),
    ("sums, hashes", ("crc32", "sha256", "SHA256", "EVP_", "[libcrypto", "[libisal", "coffer::Crc32c", "leveldb::crc32c")),
]
# By library or namespace: whose is the innermost frame that is anybody's.
OWNER = [("gRPC", ("[libgrpc", "[libgpr", "grpc::", "grpc_")), ("protobuf", ("[libprotobuf", "google::protobuf", "coffer::v1::", "coffer::wire::")),
         ("LevelDB", ("leveldb::",)), ("Coffer", ("coffer::",))]
KINDS = [name for name, _ in WITHIN + LEAF + OWNER] + ["other"]


def kind(stack):
    """Of the frames of one stack, outermost first."""
    for name, frames in WITHIN:
        if any(frame in frames for frame in stack):
            return name
    for name, beginnings in LEAF:
        if stack[-1].startswith(beginnings):
            return name
    for frame in reversed(stack):
        for name, beginnings in OWNER:
            if frame.startswith(beginnings):
                return name
    return "other"


def shares(stacks):
    """{kind: share of the samples}."""
    total = sum(stacks.values()) or 1
    found = dict.fromkeys(KINDS, 0)
    for stack, samples in stacks.items():
        found[kind(stack)] += samples
    return {name: samples / total for name, samples in found.items()}


def table(rows):
    """`rows`: (work, process, rate, shares)."""
    lines = ["| work | process | " + " | ".join(KINDS) + " |", "|---|---|" + "---|" * len(KINDS)]
    for work, process, rate, found in rows:
        lines.append(f"| {work}: {rate:.0f}/s | {process} | " + " | ".join(f"{found[k]:.0%}" for k in KINDS) + " |")
    return lines
