"""Counts lines, and keeps its connections across restarts: relisten run -- python3 handoff.py 3000
Speaks the handoff protocol (docs/handoff.md), to itself and to relisten's Node side alike."""
import base64, glob, json, os, selectors, signal, socket, struct, sys, time

PORT, DIRECTORY, GENERATION = int(sys.argv[1]), os.environ["RELISTEN_DIR"], int(os.environ["RELISTEN_GENERATION"])
HEAD, HERE = b"RLHO\x01", f"127.0.0.1:{PORT}"
lines = {}  # connection → how many lines came on it
loop = selectors.DefaultSelector()

def encode(**message):
    return HEAD + json.dumps(message).encode()

def receive(peer):  # one message and its descriptors; {} at the end
    data, fds, flags, _ = socket.recv_fds(peer, 163840, 253)
    if flags & (socket.MSG_CTRUNC | socket.MSG_TRUNC) or (data and data[:5] != HEAD):
        for fd in fds: os.close(fd)
        raise ValueError("a message that cannot be used")
    return (json.loads(data[5:]) if data else {}), fds

def is_ours(peer, named=None):  # same user and, where we give, a process that the supervisor named
    pid, uid, _ = struct.unpack("3i", peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    return uid == os.getuid() and (named is None or pid == named["pid"] or os.getsid(pid) == named["session"])

def serve(connection, count=0):
    connection.setblocking(True)  # Node's are not
    lines[connection] = count
    loop.register(connection, selectors.EVENT_READ, answer)

def answer(connection):
    data = connection.recv(65536)
    for _ in range(data.count(b"\n")):
        lines[connection] += 1
        connection.sendall(f"{lines[connection]} {GENERATION}\n".encode())
    if not data: loop.unregister(connection), lines.pop(connection), connection.close()

def meet(receiver):  # a giver connects
    giver = receiver.accept()[0]
    if not is_ours(giver): return giver.close()
    giver.send(encode(type="hello", room=500))
    loop.register(giver, selectors.EVENT_READ, take)

def take(giver):
    message, fds = receive(giver)
    if not message: return loop.unregister(giver), giver.close()
    pairs = list(zip(message["connections"], fds, strict=True))
    refused = [i for i, (facts, _) in enumerate(pairs) if (facts["to"], facts["protocol"]) != (HERE, "tcp")]
    for index in refused: os.close(fds[index])
    giver.send(encode(type="taken", refused=refused, room=500))  # the giver's before this line, ours behind it
    for index, (facts, fd) in enumerate(pairs):
        if index not in refused: serve(socket.socket(fileno=fd), base64.b64decode(facts["state"])[0])

def give(_):  # nothing is read any more; what nobody takes is closed with this process
    ready, deadline = json.load(open(f"{DIRECTORY}/ready.json")), time.monotonic() + 1
    while lines and ready["generation"] > GENERATION and time.monotonic() < deadline:
        for path in glob.glob(f"{DIRECTORY}/handoff-{ready['generation']}-*.sock"):
            peer = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            peer.settimeout(1), peer.connect(path)
            while is_ours(peer, ready) and (batch := list(lines)[: min(receive(peer)[0]["room"], 253)]):
                states = [base64.b64encode(bytes([lines.pop(connection)])).decode() for connection in batch]
                facts = [{"to": HERE, "protocol": "tcp", "state": state} for state in states]
                fds = [connection.fileno() for connection in batch]  # closed here when the answer has come
                socket.send_fds(peer, [encode(type="give", connections=facts)], fds)
        time.sleep(0.01)
    sys.exit()

path = f"{DIRECTORY}/handoff-{GENERATION}-{os.getpid()}.sock"
listener, meeting = socket.create_server(("127.0.0.1", PORT)), socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
meeting.bind(path + ".new"), meeting.listen(), os.rename(path + ".new", path)  # its name appears when it listens
told, tell = socket.socketpair()  # a signal is an event like the others: it must not come between recv and sendall
tell.setblocking(False), signal.set_wakeup_fd(tell.fileno()), signal.signal(signal.SIGTERM, lambda *_: None)
loop.register(listener, selectors.EVENT_READ, lambda one: serve(one.accept()[0]))
loop.register(meeting, selectors.EVENT_READ, meet)
loop.register(told, selectors.EVENT_READ, give)
while True:
    for key, _ in loop.select():
        key.data(key.fileobj)
