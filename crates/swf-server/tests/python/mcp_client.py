"""The official Python client against our server: mcp_client.py URL TOKEN CALLS(JSON)."""

import asyncio
import json
import sys

import httpx2
from mcp import ClientSession
from mcp.client.streamable_http import streamable_http_client


async def main(url, token, calls):
    client = httpx2.AsyncClient(headers={"Authorization": f"Bearer {token}"}, timeout=60)
    async with streamable_http_client(url, http_client=client) as streams:
        async with ClientSession(streams[0], streams[1]) as session:
            opened = await session.initialize()
            assert opened.server_info.name == "swf-testbed", opened
            assert opened.instructions, "no instructions"
            listed = await session.list_tools()
            names = [tool.name for tool in listed.tools]
            assert names == [call["name"] for call in calls], names
            for call in calls:
                # The client checks structured content against the output schema.
                result = await session.call_tool(call["name"], call["arguments"])
                text = result.content[0].text
                failed, structured = result.is_error, result.structured_content
                assert "internal error" not in text, (call, text)
                assert bool(failed) != (structured is not None), (call, result)
                print("error" if failed else "ok", call["name"], text[:100] if failed else "")
            wrong = await session.call_tool("swf_list_agents", {"limit": -1})
            assert wrong.is_error and "limit" in wrong.content[0].text, wrong
    print("all tools called")


asyncio.run(main(sys.argv[1], sys.argv[2], json.loads(sys.argv[3])))
