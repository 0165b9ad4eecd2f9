"""Subscribes with an SSE library of PyPI as an application does, and reports what the application sees.

Settings: library, url, headers; hub and topics for pymercure. Two of the libraries read one answer and leave reconnecting to the application, which
does it as their documentation says: with the last id in `Last-Event-ID`. The third reconnects itself when a stream ends,
and gives up when the hub cannot be reached. pymercure reads public updates until its stream ends.
"""

import asyncio
import time
from datetime import timedelta

from lines import end_with_the_commands, report, settings

# Between two attempts to connect.
PAUSE_S = 0.2

URL = settings.get("url")
HEADERS = settings.get("headers")
last_id = None


def headers():
    return HEADERS if last_id is None else {**HEADERS, "Last-Event-ID": last_id}


def answered(status, fields):
    report(
        answer={
            "status": status,
            "cursor": fields.get("mercure-last-event-id"),
            "old_cursor": fields.get("last-event-id"),
        }
    )
    if status == 200:
        report(open={})
    return status == 200


def received(event_id, kind, data):
    global last_id
    last_id = event_id
    report(event={"id": event_id, "type": kind, "data": data})


def failed(error, final=False):
    report(failure={"status": None, "final": final, "error": f"{type(error).__name__}: {error}"})


def sseclient_py():
    import requests
    from sseclient import SSEClient

    while True:
        try:
            with requests.get(URL, headers=headers(), stream=True, timeout=(5, 60)) as response:
                if not answered(response.status_code, response.headers):
                    return
                for event in SSEClient(response).events():
                    received(event.id, event.event, event.data)
        except requests.exceptions.RequestException as error:
            failed(error)
        time.sleep(PAUSE_S)


def httpx_sse():
    import httpx
    from httpx_sse import connect_sse

    with httpx.Client(timeout=httpx.Timeout(5, read=60)) as client:
        while True:
            try:
                with connect_sse(client, "GET", URL, headers=dict(headers())) as source:
                    if not answered(source.response.status_code, source.response.headers):
                        return
                    for event in source.iter_sse():
                        received(event.id, event.event, event.data)
            except httpx.TransportError as error:
                failed(error)
            time.sleep(PAUSE_S)


async def aiohttp_sse_client2():
    from aiohttp import ClientError
    from aiohttp_sse_client2.client import EventSource
    from multidict import CIMultiDict

    while True:
        try:
            async with EventSource(
                URL,
                # It adds `Last-Event-Id` itself, which must not stand beside another spelling of the name.
                headers=CIMultiDict(headers()),
                reconnection_time=timedelta(seconds=PAUSE_S),
                on_open=lambda: report(open={}),
            ) as source:
                async for event in source:
                    received(event.last_event_id, event.type or "message", event.data)
        except ClientError as error:
            failed(error)
        except ConnectionError as error:
            # How it says that the answer was no stream.
            failed(error, final=True)
            return
        await asyncio.sleep(PAUSE_S)


def pymercure():
    from pymercure.consumer import Consumer

    consumer = Consumer(
        settings["hub"],
        settings["topics"],
        lambda message: received(message.message_id, message.event_type, message.data),
    )
    consumer.start_consumption()
    report(open={})
    consumer.join()


end_with_the_commands()
match settings["library"]:
    case "sseclient-py":
        sseclient_py()
    case "httpx-sse":
        httpx_sse()
    case "aiohttp-sse-client2":
        asyncio.run(aiohttp_sse_client2())
    case "pymercure":
        pymercure()
