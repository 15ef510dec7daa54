"""The official Python client against our server: mcp_client.py URL TOKEN CALLS(JSON)."""

import asyncio
import json
import sys

import httpx
import mcp
from mcp import ClientSession

try:
    from mcp.client.streamable_http import streamable_http_client
except ImportError:
    streamable_http_client = None
from mcp.client import streamable_http


def transport(url, headers):
    if streamable_http_client is not None:
        return streamable_http_client(url, http_client=httpx.AsyncClient(headers=headers, timeout=60))
    return streamable_http.streamablehttp_client(url, headers=headers)


async def main(url, token, calls):
    async with transport(url, {"Authorization": f"Bearer {token}"}) as streams:
        async with ClientSession(streams[0], streams[1]) as session:
            opened = await session.initialize()
            server = getattr(opened, "serverInfo", None) or opened.server_info
            assert server.name == "swf-testbed", opened
            assert opened.instructions, "no instructions"
            listed = await session.list_tools()
            names = [tool.name for tool in listed.tools]
            assert names == [call["name"] for call in calls], names
            for call in calls:
                # The client checks structured content against the output schema.
                result = await session.call_tool(call["name"], call["arguments"])
                text = result.content[0].text
                failed = getattr(result, "isError", None) if hasattr(result, "isError") else result.is_error
                structured = (
                    result.structuredContent if hasattr(result, "structuredContent") else result.structured_content
                )
                assert "internal error" not in text, (call, text)
                assert bool(failed) != (structured is not None), (call, result)
                print("error" if failed else "ok", call["name"], text[:100] if failed else "")
            wrong = await session.call_tool("swf_list_agents", {"limit": -1})
            failed = wrong.isError if hasattr(wrong, "isError") else wrong.is_error
            assert failed and "limit" in wrong.content[0].text, wrong
    print("all tools called")


asyncio.run(main(sys.argv[1], sys.argv[2], json.loads(sys.argv[3])))
