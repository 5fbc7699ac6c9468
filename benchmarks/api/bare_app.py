"""What the API is compared with: a Flask route that does nothing, served as the API is."""

from flask import Flask, Response

app = Flask("bare", static_folder=None)


@app.post("/v1/events")
def post_events() -> Response:
    """Answer as long as the API does to one event."""
    return Response(_ANSWER, 202, content_type="application/json")


@app.get("/healthz")
def healthz() -> Response:
    """The server runs."""
    return Response("ok\n", content_type="text/plain")


_ANSWER = (
    b'{"results":[{"status":"accepted","event_id":"018f2b7a-0000-7000-8000-00000000000a"}],'
    b'"accepted":1,"invalid":0}'
)
