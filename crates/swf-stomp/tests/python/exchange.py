"""What the testbed's Python agents do with a broker: exchange.py PORT. Prints one line per check."""

import queue
import sys
import time

import stomp

PORT = int(sys.argv[1])
WAIT = 20
connections = []


class Listener(stomp.ConnectionListener):
    """Keeps what comes in queues that a check can wait on."""

    def __init__(self):
        self.messages = queue.Queue()
        self.errors = queue.Queue()
        self.receipts = queue.Queue()
        self.lost = queue.Queue()
        self.beats = queue.Queue()

    def on_message(self, frame):
        self.messages.put(frame)

    def on_error(self, frame):
        self.errors.put(frame)

    def on_receipt(self, frame):
        self.receipts.put(frame.headers["receipt-id"])

    def on_disconnected(self):
        self.lost.put(True)

    def on_heartbeat(self):
        self.beats.put(True)

    def on_heartbeat_timeout(self):
        self.lost.put("heartbeat")


def connect(kind=stomp.Connection11, passcode="secret", client_id=None, beats=(0, 0), **options):
    if kind is not stomp.Connection10:
        options.update(vhost="localhost", heartbeats=beats)
    connection = kind(host_and_ports=[("127.0.0.1", PORT)], try_loopback_connect=False,
                      reconnect_attempts_max=1, **options)
    listener = Listener()
    connection.set_listener("check", listener)
    headers = {"client-id": client_id} if client_id else {}
    connection.connect("admin", passcode, wait=True, headers=headers)
    connections.append(connection)
    return connection, listener


def take(listener):
    return listener.messages.get(timeout=WAIT)


def nothing(listener):
    try:
        frame = listener.messages.get(timeout=0.1)
    except queue.Empty:
        return
    raise AssertionError(f"unexpected message {frame.headers} {frame.body!r}")


def subscribe(connection, listener, destination, id=1, ack="auto", **headers):
    headers = {key.replace("_", "-"): value for key, value in headers.items()}
    connection.subscribe(destination=destination, id=id, ack=ack, headers={**headers, "receipt": f"sub-{id}"})
    assert listener.receipts.get(timeout=WAIT) == f"sub-{id}"


def confirmed_send(connection, listener, destination, body, **headers):
    connection.send(destination=destination, body=body, headers={**headers, "receipt": "sent"})
    assert listener.receipts.get(timeout=WAIT) == "sent"


def acknowledge(connection, frame, method="ack"):
    """Each protocol version has its own form."""
    call = getattr(connection, method)
    if isinstance(connection, stomp.Connection12):
        call(frame.headers["ack"])
    elif isinstance(connection, stomp.Connection11):
        call(frame.headers["message-id"], frame.headers["subscription"])
    else:
        call(frame.headers["message-id"])


def versions():
    for kind in (stomp.Connection10, stomp.Connection11, stomp.Connection12):
        connection, listener = connect(kind)
        subscribe(connection, listener, "/topic/versions")
        confirmed_send(connection, listener, "/topic/versions", f"héllo {kind.__name__}", note="a:b\nc" if kind is not stomp.Connection10 else "plain")
        frame = take(listener)
        assert frame.body == f"héllo {kind.__name__}", frame.body
        assert frame.headers["destination"] == "/topic/versions"
        connection.disconnect()


def bad_login():
    try:
        connect(passcode="wrong")
    except stomp.exception.ConnectFailedException:
        return
    raise AssertionError("a wrong passcode was taken")


def broadcast_and_competition():
    pairs = [connect() for _ in range(3)]
    for connection, listener in pairs:
        subscribe(connection, listener, "/topic/all")
        subscribe(connection, listener, "/queue/one", id=2)
    sender, own = connect(auto_content_length=False)
    confirmed_send(sender, own, "/topic/all", "all")
    for _, listener in pairs:
        assert take(listener).body == "all"
    for number in range(30):
        confirmed_send(sender, own, "/queue/one", str(number))
    got = []
    until = time.monotonic() + WAIT
    while len(got) < 30 and time.monotonic() < until:
        for _, listener in pairs:
            while not listener.messages.empty():
                got.append(int(listener.messages.get().body))
        time.sleep(0.01)
    assert sorted(got) == list(range(30)), got
    for _, listener in pairs:
        nothing(listener)


def redelivery():
    for kind in (stomp.Connection10, stomp.Connection11, stomp.Connection12):
        name = f"/queue/redelivery.{kind.__name__}"
        sender, own = connect(kind)
        confirmed_send(sender, own, name, "once")
        dying, listener = connect(kind)
        mode = "client" if kind is stomp.Connection10 else "client-individual"
        subscribe(dying, listener, name, ack=mode)
        first = take(listener)
        assert "redelivered" not in first.headers
        dying.transport.disconnect_socket()
        subscribe(sender, own, name, ack=mode)
        again = take(own)
        assert again.body == "once" and again.headers["redelivered"] == "true"
        assert again.headers["message-id"] == first.headers["message-id"]
        if kind is not stomp.Connection10:
            acknowledge(sender, again, "nack")
            again = take(own)
            assert again.headers["delivery-count"] == "3", again.headers
        acknowledge(sender, again)
        sender.disconnect(receipt="bye")
        other, rest = connect(kind)
        subscribe(other, rest, name, ack=mode)
        nothing(rest)


def transactions():
    connection, listener = connect(stomp.Connection12)
    subscribe(connection, listener, "/queue/tx")
    transaction = connection.begin()
    connection.send("/queue/tx", "in", transaction=transaction)
    nothing(listener)
    connection.commit(transaction)
    assert take(listener).body == "in"
    transaction = connection.begin()
    connection.send("/queue/tx", "out", transaction=transaction)
    connection.abort(transaction)
    nothing(listener)


def selector():
    connection, listener = connect()
    subscribe(connection, listener, "/topic/select", selector="namespace = 'mine' AND run > 5")
    for namespace, run in (("other", 7), ("mine", 5), ("mine", 7)):
        connection.send("/topic/select", f"{namespace} {run}", headers={"namespace": namespace, "run": run})
    assert take(listener).body == "mine 7"
    connection.subscribe("/topic/select", id=9, headers={"selector": "a LIKE 'b'"})
    error = listener.errors.get(timeout=WAIT)
    assert "joined by AND" in error.body, error.body


def durable():
    for header in ("activemq.subscriptionName", "durable-subscription-name", "durable-subscriber-name"):
        name = f"/topic/{header}"
        away, listener = connect(client_id=header)
        subscribe(away, listener, name, **{header: "kept", "client-id": header})
        away.disconnect(receipt="bye")
        assert listener.receipts.get(timeout=WAIT) == "bye"
        sender, own = connect()
        confirmed_send(sender, own, name, "while away", persistent="true")
        back, listener = connect(client_id=header)
        subscribe(back, listener, name, **{header: "kept", "client-id": header})
        assert take(listener).body == "while away"


def replies():
    asker, answers = connect(client_id="asker")
    subscribe(asker, answers, "/temp-queue/me")
    worker, questions = connect()
    subscribe(worker, questions, "/queue/ask")
    confirmed_send(asker, answers, "/queue/ask", "?", **{"reply-to": "/temp-queue/me"})
    worker.send(take(questions).headers["reply-to"], "!")
    assert take(answers).body == "!"


def large_body():
    connection, listener = connect(stomp.Connection12)
    subscribe(connection, listener, "/queue/large")
    body = "ü" * 150_000
    confirmed_send(connection, listener, "/queue/large", body)
    assert take(listener).body == body


def heart_beats():
    connection, listener = connect(beats=(1000, 1000))
    for _ in range(2):
        listener.beats.get(timeout=WAIT)
    assert connection.is_connected() and listener.lost.empty()


def agent():
    """The connect frame, subscription and messages of the testbed's agents."""
    connection, listener = connect(client_id="data-agent-7", beats=(30000, 30000), auto_content_length=False)
    connection.subscribe(destination="/topic/epictopic", id=1, ack="auto")
    bare, own = connect(client_id="swf-monitor-django", beats=(5000, 10000))
    subscribe(bare, own, "epictopic")
    connection.send(destination="/topic/epictopic", body='{"msg_type": "stf_gen"}')
    for received in (listener, own):
        frame = take(received)
        assert frame.body == '{"msg_type": "stf_gen"}'


for check in (versions, bad_login, broadcast_and_competition, redelivery, transactions, selector, durable, replies,
              large_body, heart_beats, agent):
    check()
    print("passed", check.__name__, flush=True)
print(f"all checks passed with stomp.py {'.'.join(map(str, stomp.__version__))}", flush=True)
for connection in connections:
    if connection.is_connected():
        connection.disconnect()
