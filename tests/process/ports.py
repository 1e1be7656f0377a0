"""Ports of loopback for members that stop and start again.

They lie below those the system gives out by itself, so that no connection has taken one while its member was down; and each process of tests
has lots of its own, so that several run beside each other.
"""
import pathlib
import socket

LOT = 50
FIRST = 12000


def first_of_the_system():
    try:
        return int(pathlib.Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    except OSError:
        return 32768


def may_listen(port):
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            s.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def ports():
    """Lot after lot. A socket of a name without a file says whose it is, as long as this process lives and in this network alone."""
    lots = []
    for begin in range(FIRST, first_of_the_system() - LOT, LOT):
        lot = socket.socket(socket.AF_UNIX)
        try:
            lot.bind(f"\0coffer-ports-{begin}")
        except OSError:
            lot.close()
            continue
        lots.append(lot)
        yield from filter(may_listen, range(begin, begin + LOT))
    raise RuntimeError("every port below the system's own is in use")


_ports = ports()


def free_port():
    """One that nobody has, and that no test was given before it in this process."""
    return next(_ports)
