"""A Flask application with flask-mercure-sse: publishes, makes URLs with a token in them, and asks who is there.

Settings: url, publisher_key, subscriber_key.
"""

from flask import Flask
from flask_mercure_sse import MercureSSE

from lines import commands, report, settings

app = Flask(__name__)
app.config["SECRET_KEY"] = "the application's own"
mercure = MercureSSE(
    app,
    hub_url=settings["url"],
    publisher_secret_key=settings["publisher_key"],
    subscriber_secret_key=settings["subscriber_key"],
)


def obey(command):
    match command:
        case {"publish": {"topic": topic, "data": data, **options}}:
            report(published={"id": mercure.publish(topic, data, **options)})
        case {"url": {"topic": topic, "payload": payload}}:
            report(url=mercure.authentified_hub_url([topic], payload=payload))
        case {"connected": {"topic": topic, "filter": payload}}:
            report(connected=mercure.is_connected(topic, **payload))
        case {"subscriptions": {"topic": topic}}:
            report(subscriptions=mercure.get_subscriptions(topic))


with app.app_context():
    commands(obey)
