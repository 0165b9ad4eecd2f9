"""Publishes with a Mercure package of PyPI, as its documentation says. Settings: library, url, key."""

import jwt

from lines import commands, report, settings

URL = settings["url"]
KEY = settings["key"]


def mercure_publisher():
    from mercure_publisher import MercureConfig, MercurePublisher

    publisher = MercurePublisher(MercureConfig(hub_url=URL, publisher_jwt_key=KEY, publish_topics=settings["publish"]))

    def obey(command):
        options = {name: command[name] for name in ("private", "id", "type", "retry") if name in command}
        report(published={"id": publisher.publish(topic=command["topics"], data=command["data"], **options)})

    return obey


def pymercure():
    from pymercure.message import Message
    from pymercure.publisher.sync import SyncPublisher

    token = jwt.encode({"mercure": {"publish": settings["publish"]}}, KEY, algorithm="HS256")
    publisher = SyncPublisher(URL, token)

    def obey(command):
        message = Message(
            command["topics"], command["data"], message_id=command.get("id"), event_type=command.get("type")
        )
        report(published={"id": publisher.publish(message)})

    return obey


commands({"mercure-publisher": mercure_publisher, "pymercure": pymercure}[settings["library"]]())
