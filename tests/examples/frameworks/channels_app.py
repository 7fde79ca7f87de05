"""The app of `test_frameworks.py` on Django Channels."""

from __future__ import annotations

import asyncio

import django
from channels.exceptions import DenyConnection
from channels.generic.websocket import AsyncWebsocketConsumer, JsonWebsocketConsumer
from channels.routing import ProtocolTypeRouter, URLRouter
from channels.security.websocket import AllowedHostsOriginValidator
from django.conf import settings
from django.urls import path

settings.configure(
    ALLOWED_HOSTS=["127.0.0.1"],
    SECRET_KEY="none",
    CHANNEL_LAYERS={"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}},
)
django.setup()


class Echo(AsyncWebsocketConsumer):
    groups = ("all",)

    async def connect(self) -> None:
        await self.accept("chat" if "chat" in self.scope["subprotocols"] else None)

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        if text_data == "close":
            await self.close(4001, "as asked")
        elif text_data == "fail":
            raise ValueError("as asked")
        elif text_data == "all":
            await self.channel_layer.group_send("all", {"type": "told", "text": "to all"})
        else:
            await self.send(text_data, bytes_data)

    async def told(self, event: dict[str, str]) -> None:
        await self.send(event["text"])

    async def disconnect(self, code: int) -> None:
        print(f"closed: {code}", flush=True)


class Adder(JsonWebsocketConsumer):
    """One that is called in a thread."""

    def receive_json(self, content: dict[str, int]) -> None:
        self.send_json({"sum": sum(content.values())})


class Refused(AsyncWebsocketConsumer):
    async def connect(self) -> None:
        raise DenyConnection


class Broken(AsyncWebsocketConsumer):
    async def connect(self) -> None:
        await asyncio.sleep(0)
        raise ValueError("as asked")


routes = {"echo": Echo, "add": Adder, "refused": Refused, "broken": Broken}
app = ProtocolTypeRouter(
    {
        "websocket": AllowedHostsOriginValidator(
            URLRouter([path(name, consumer.as_asgi()) for name, consumer in routes.items()])
        )
    }
)
