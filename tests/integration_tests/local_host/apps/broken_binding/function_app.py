"""An app with a trigger that this host does not have."""

import azure.functions as func

app = func.FunctionApp()


@app.event_hub_message_trigger(arg_name="event", event_hub_name="hub", connection="HUB")
def takes_events(event: func.EventHubEvent) -> None:
    """Take an event."""
