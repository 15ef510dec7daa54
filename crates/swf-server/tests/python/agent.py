"""Plays agents as the original library does, over HTTP and STOMP: agent.py MONITOR_URL TOKEN BROKER_PORT.

MONITOR_URL has the prefix and no /api, as SWF_MONITOR_URL has it. Redirects are never followed. Every answer is
checked for what the library and the agents read from it.
"""

import datetime
import getpass
import json
import os
import socket
import sys
import threading
import time

import requests
import stomp

BASE, TOKEN, PORT = sys.argv[1], sys.argv[2], int(sys.argv[3])
NAMESPACE = "blackbox"
PATIENCE = 30


class APIError(Exception):
    pass


class Monitor:
    """The library's REST session: token, JSON, no redirects, retries on what may pass."""

    def __init__(self):
        self.session = requests.Session()
        self.session.headers["Authorization"] = f"Token {TOKEN}"
        self.session.trust_env = False

    def call(self, method, path, body=None, retries=(0.05, 0.1)):
        for wait in (*retries, None):
            answer = self.session.request(
                method, f"{BASE}/api{path}", json=body, timeout=10, allow_redirects=False
            )
            if answer.status_code in (404, 500, 502, 503, 504) and wait is not None:
                time.sleep(wait)
                continue
            break
        if 300 <= answer.status_code < 400:
            raise APIError(f"redirect from {path}")
        if answer.status_code == 400 and path.startswith("/subscribers"):
            text = answer.text.lower()
            if "already exists" in text and "subscriber" in text:
                return {"status": "exists"}
        if not answer.ok:
            raise APIError(f"{method} {path}: {answer.status_code} {answer.text}")
        return answer.json()

    def get(self, path):
        return self.call("GET", path)

    def post(self, path, body=None):
        return self.call("POST", path, body)

    def patch(self, path, body):
        return self.call("PATCH", path, body)


class Listener(stomp.ConnectionListener):
    def __init__(self):
        self.messages = []
        self.arrived = threading.Condition()

    def on_message(self, frame):
        with self.arrived:
            self.messages.append(json.loads(frame.body))
            self.arrived.notify_all()

    def wait(self, kind):
        with self.arrived:
            found = self.arrived.wait_for(lambda: [m for m in self.messages if m["msg_type"] == kind], PATIENCE)
            assert found, f"no {kind} came: {self.messages}"
            return found[0]


class Agent:
    """What every agent does at its start, while it runs and at its end."""

    def __init__(self, kind, subscription):
        self.api = Monitor()
        self.kind = kind
        self.id = self.api.post("/state/next-agent-id/")["agent_id"]
        self.name = f"{kind.lower()}-agent-{getpass.getuser()}-{self.id}"
        self.state = "STARTING"
        self.listener = Listener()
        self.mq = stomp.Connection(host_and_ports=[("127.0.0.1", PORT)], heartbeats=(30000, 30000))
        self.mq.set_listener("", self.listener)
        self.mq.connect("admin", "admin", wait=True, version="1.1", headers={"client-id": self.name})
        headers = {"activemq.subscriptionName": self.name} if subscription.startswith("/topic/") else {}
        self.mq.subscribe(subscription, id=1, ack="auto", headers=headers)
        body = {
            "subscriber_name": f"{self.name}-{subscription}",
            "description": f"{kind} agent subscribing to {subscription}",
            "is_active": True,
            "fraction": 1.0,
        }
        row = self.api.post("/subscribers/", body)
        assert row["subscriber_name"] == body["subscriber_name"] and row["delivery_type"] == "activemq", row
        assert self.api.post("/subscribers/", body) == {"status": "exists"}
        self.state = "READY"
        row = self.heartbeat()
        assert row["workflow_enabled"] is True and row["instance_name"] == self.name, row

    def heartbeat(self, status="OK", **more):
        row = self.api.post(
            "/systemagents/heartbeat/",
            {
                "instance_name": self.name,
                "agent_type": self.kind,
                "status": status,
                "description": f"{self.kind} agent. MQ: connected",
                "mq_connected": True,
                "pid": os.getpid(),
                "hostname": socket.gethostname(),
                "operational_state": self.state,
                "namespace": NAMESPACE,
                **more,
            },
        )
        assert row["status"] == status and row["operational_state"] == self.state, row
        return row

    def send(self, kind, **fields):
        body = {
            "msg_type": kind,
            "namespace": NAMESPACE,
            "sender": self.name,
            "timestamp": datetime.datetime.now().isoformat(),
            **fields,
        }
        self.mq.send("/topic/epictopic", json.dumps(body), headers={"persistent": "true", "vhost": "localhost"})

    def log(self, level, message, **extra):
        """One request per record, without credentials."""
        now = datetime.datetime.now()
        answer = requests.post(
            f"{BASE}/api/logs/",
            json={
                "app_name": "base_agent",
                "instance_name": self.name,
                "timestamp": now.isoformat(),
                "level": {"INFO": 20, "ERROR": 40}[level],
                "levelname": level,
                "message": message,
                "module": "agent",
                "funcname": "log",
                "lineno": 1,
                "process": os.getpid(),
                "thread": threading.get_ident(),
                "extra_data": extra or None,
            },
            timeout=10,
        )
        assert answer.status_code == 201, answer.text

    def stop(self):
        self.state = "EXITED"
        self.heartbeat("EXITED", description=f"{self.kind} agent. Agent shutdown")
        self.mq.disconnect()


def eventually(what, look):
    deadline = time.monotonic() + PATIENCE
    while True:
        found = look()
        if found:
            return found
        assert time.monotonic() < deadline, f"never happened: {what}"
        time.sleep(0.05)


def workflow(api):
    """What the runner does before a run."""
    sequence = api.post("/state/next-workflow-execution-id/")["sequence"]
    execution = f"stf_datataking-{getpass.getuser()}-{sequence:04d}"
    query = "/workflow-definitions/?workflow_name=stf_datataking&version=1.0"
    assert api.get(query) == []
    definition = {
        "workflow_name": "stf_datataking",
        "version": "1.0",
        "workflow_type": "simulation",
        "definition": "def run(env): ...",
        "parameter_values": {"stf_count": 2},
        "created_by": getpass.getuser(),
        "created_at": datetime.datetime.now().isoformat(),
    }
    api.post("/workflow-definitions/", definition)
    found = api.get(query)
    assert len(found) == 1
    ensured = api.post("/namespaces/ensure/", {"name": NAMESPACE, "owner": getpass.getuser(), "description": "x"})
    assert ensured["created"] is True and ensured["status"] == "success", ensured
    assert api.post("/namespaces/ensure/", {"name": NAMESPACE, "owner": "other"})["created"] is False
    row = api.post(
        "/workflow-executions/",
        {
            "execution_id": execution,
            "workflow_definition": found[0]["id"],
            "parameter_values": {"stf_count": 2},
            "start_time": datetime.datetime.now(datetime.timezone.utc).isoformat(),
            "status": "running",
            "executed_by": getpass.getuser(),
            "namespace": NAMESPACE,
        },
    )
    assert row["execution_id"] == execution and row["status"] == "running", row
    running = api.get("/workflow-executions/?status=running")
    assert [e["execution_id"] for e in running] == [execution], running
    return execution


def files(api, data, execution, run):
    """The data agent: a run, two files, their messages."""
    start = datetime.datetime.now(datetime.timezone.utc).isoformat()
    row = api.post("/runs/", {"run_number": run, "start_time": start, "run_conditions": {"simulated": True}})
    assert api.get(f"/runs/?run_number={run}")[0]["run_id"] == row["run_id"]
    data.send("run_imminent", execution_id=execution, run_id=run, simulation_tick=1)
    data.send("start_run", execution_id=execution, run_id=run)
    names = [f"swf.{run}.{n:06d}.stf" for n in (1, 2)]
    for name in names:
        stf = api.post(
            "/stf-files/",
            {
                "run": row["run_id"],
                "stf_filename": name,
                "file_size_bytes": 1024,
                "checksum": "ad:0",
                "status": "registered",
                "metadata": {"start": start},
            },
        )
        # The library takes this refusal as "done before".
        try:
            api.post("/stf-files/", {"run": row["run_id"], "stf_filename": name})
            raise AssertionError("a second file of one name")
        except APIError as error:
            assert "already exists" in str(error), error
        data.send("stf_gen", execution_id=execution, run_id=run, filename=name, size_bytes=1024)
        done = api.patch(f"/stf-files/{stf['file_id']}/", {"status": "processed"})
        assert done["status"] == "processed", done
    return row["run_id"], names


def slices(api, run, stf):
    """The fast-monitoring and fast-processing agents, with the one-by-one path of the original."""
    now = datetime.datetime.now(datetime.timezone.utc).isoformat()
    fixed = {"phase": "physics", "state": "running", "target_worker_count": 2, "state_changed_at": now}
    state = api.post("/run-states/", {"run_number": run, **fixed})
    assert state["run_number"] == run and state["slices_queued"] == 0, state
    tf = api.post(
        "/fastmon-files/",
        {"stf_file": stf, "tf_filename": f"tf.{stf}", "file_size_bytes": 10, "status": "registered", "metadata": {}},
    )
    for n in range(3):
        row = api.post(
            "/tf-slices/",
            {
                "slice_id": n,
                "tf_first": n * 10,
                "tf_last": n * 10 + 9,
                "tf_count": 10,
                "tf_filename": f"tf.{stf}",
                "stf_filename": stf,
                "run_number": str(run),
                "status": "queued",
                "metadata": {},
            },
        )
        assert row["status"] == "queued" and row["run_number"] == run, row
    counted = api.get(f"/run-states/{run}/")
    api.patch(f"/run-states/{run}/", {"slices_queued": counted["slices_queued"] + 3})
    api.post(
        "/system-state-events/",
        {"timestamp": now, "run_number": run, "event_type": "stf_ready", "state": "running", "event_data": {"tf": tf["tf_filename"]}},
    )
    for n in range(3):
        found = api.get(f"/tf-slices/?run_number={run}&slice_id={n}")
        assert len(found) == 1, found
        row = api.patch(f"/tf-slices/{found[0]['id']}/", {"status": "completed", "completed_at": now})
        assert row["status"] == "completed" and row["tf_first"] == n * 10, row
    assert len(api.get(f"/tf-slices/?run_number={run}&status=completed")) == 3


def strangers():
    """What callers without token may do: nothing but log."""
    plain = {"allow_redirects": False, "timeout": 10}
    for path in ("/state/next-agent-id/", "/state/next-run-number/"):
        answer = requests.post(f"{BASE}/api{path}", **plain)
        assert answer.status_code == 401, answer.text
        assert answer.json()["detail"] == "Authentication credentials were not provided."
    for path in ("/systemagents/heartbeat/", "/runs/", "/tf-slices/", "/subscribers/"):
        answer = requests.post(f"{BASE}/api{path}", json={}, **plain)
        assert answer.status_code == 403, (path, answer.text)
    forged = {"X-Remote-User": "admin"}
    assert requests.post(f"{BASE}/api/runs/", json={}, headers=forged, **plain).status_code == 403
    wrong = {"Authorization": "Token 0123456789012345678901234567890123456789"}
    answer = requests.post(f"{BASE}/api/runs/", json={}, headers=wrong, **plain)
    assert answer.status_code == 403 and answer.json()["detail"] == "Invalid token.", answer.text


def main():
    strangers()
    monitor = Monitor()
    runner = Agent("DAQ_Simulator", "/queue/workflow_control")
    data = Agent("DATA", "/topic/epictopic")
    processing = Agent("STF_Processing", "/topic/epictopic")
    assert len({runner.id, data.id, processing.id}) == 3
    execution = workflow(runner.api)
    run = runner.api.post("/state/next-run-number/")["run_number"]
    assert run >= 100010
    run_id, names = files(data.api, data, execution, run)
    assert processing.listener.wait("stf_gen")["filename"] == names[0]
    processing.state = "PROCESSING"
    metadata = {"active_tasks": 1, "completed_tasks": 2}
    row = processing.heartbeat(workflow_enabled=True, current_stf_count=1, total_stf_processed=2, metadata=metadata)
    assert row["total_stf_processed"] == 2, row
    row = processing.heartbeat()
    assert row["total_stf_processed"] == 2 and row["metadata"] == metadata, row
    slices(processing.api, run, names[0])
    processing.log("INFO", "processed", execution_id=execution, run_id=str(run))
    processing.log("ERROR", "lost a file")
    summary = monitor.get("/logs/summary/")
    assert summary["base_agent"][processing.name]["error_counts"] == {"ERROR": 1}, summary
    data.send("end_run", execution_id=execution, run_id=run, total_files=2)
    end = datetime.datetime.now(datetime.timezone.utc).isoformat()
    assert data.api.patch(f"/runs/{run_id}/", {"end_time": end})["end_time"]
    done = runner.api.patch(f"/workflow-executions/{execution}/", {"status": "completed", "end_time": end})
    assert done["status"] == "completed" and done["workflow_definition"], done

    path = f"/workflow-messages/?execution_id={execution}"
    sent = eventually("all messages are captured", lambda: (m := monitor.get(path)) and len(m) == 5 and m)
    kinds = sorted(m["message_type"] for m in sent)
    assert kinds == ["end_run", "run_imminent", "start_run", "stf_gen", "stf_gen"], kinds
    assert all(m["sender_agent"] == data.name and m["run_id"] == str(run) for m in sent), sent
    state = eventually(
        "the run's state is closed",
        lambda: (s := monitor.get(f"/run-states/{run}/")) and s["state"] == "ended" and s,
    )
    assert state["phase"] == "completed" and state["metadata"]["execution_id"] == execution, state
    for agent in (runner, data, processing):
        agent.stop()
    gone = {a["instance_name"]: a["status"] for a in monitor.get("/systemagents/")}
    assert all(gone[a.name] == "EXITED" for a in (runner, data, processing)), gone
    print("all checks passed")


main()
