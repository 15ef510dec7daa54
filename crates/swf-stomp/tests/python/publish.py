"""One publisher as the testbed's agents are: publish.py PORT NUMBER COUNT."""

import sys

import stomp

port, number, count = (int(argument) for argument in sys.argv[1:])
connection = stomp.Connection11(host_and_ports=[("127.0.0.1", port)], vhost="localhost",
                                heartbeats=(30000, 30000), auto_content_length=False)
connection.connect("admin", "admin", wait=True, headers={"client-id": f"agent-{number}"})
for message in range(count):
    connection.send(destination="/topic/epictopic", body=f'{{"sender": {number}, "message": {message}}}')
connection.disconnect()
