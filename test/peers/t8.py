"""What tests of T8 have in common."""
import base64

CALLBACKS = 't8.allow_callbacks=["127.0.0.0/8"]'  # the sink of a test is on loopback


def b64(data):
    return base64.b64encode(data).decode()


def path_of(link):
    """The path of a resource: of its link, or of the answer that made it."""
    link = link if isinstance(link, str) else link.headers["Location"]
    return link[link.index("/3gpp-"):]
