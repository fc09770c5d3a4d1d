"""A downlink whose connection is lost before its answer goes on through a relay (RFC 6733 5.5.4)."""
import queue
import threading

from host import LIMIT_S, Host, until
from mme import Mme, find

RELAY = 0xFFFFFFFF


def is_known(host, identity, state="open"):
    return any(peer["identity"] == identity and peer["state"] == state for peer in host.admin.get("/v1/peers").json()["peers"])


def blink(host, twin):
    """The command waits for its delivery; what came of it."""
    told = queue.Queue()
    client = host.client(host.admin.token)
    threading.Thread(target=lambda: told.put(client.post(f"/v1/twins/{twin}/actions/blink?wait=delivered&timeout=30s", {"seconds": 3})),
                     daemon=True).start()
    return told


def test_a_downlink_goes_again_through_a_relay():
    with Host() as host:
        host.admin.put_twin("t1@acme.example", imsi="001030000000001")
        with Mme(host, "dra1.epc.test", application=RELAY) as relay:
            until(lambda: is_known(host, "dra1.epc.test"), "the relay")
            with Mme(host, on_downlink=lambda downlink: None) as mme:
                mme.attach("001030000000001")
                told = blink(host, "t1@acme.example")
                first = mme.downlinks.get(timeout=LIMIT_S)
            second = relay.downlinks.get(timeout=LIMIT_S)
            assert told.get(timeout=LIMIT_S).json()["state"] == "delivered"
            assert second.message.header.is_retransmit and not first.message.header.is_retransmit
            assert second.message.header.end_to_end_identifier == first.message.header.end_to_end_identifier
            assert (second.data, second.imsi) == (first.data, "001030000000001")
            assert find(second.message, 293) == b"mme1.epc.test"  # the relay knows the way to it
            assert relay.downlinks.empty()
        assert host.imsi_in_log() is None, "an IMSI was logged"


def test_relays_that_go_away_one_after_the_other_end_with_the_mailbox():
    with Host() as host:
        host.admin.put_twin("t1@acme.example", imsi="001030000000001")
        relays = [Mme(host, f"dra{n}.epc.test", application=RELAY, on_downlink=lambda downlink: None) for n in range(3)]
        for relay in relays:
            until(lambda name=relay.identity: is_known(host, name), relay.identity)
        with Mme(host, on_downlink=lambda downlink: None) as mme:
            mme.attach("001030000000001")
            assert host.admin.post("/v1/twins/t1@acme.example/actions/blink", {"seconds": 3}).status == 202
            ends = {mme.downlinks.get(timeout=LIMIT_S).message.header.end_to_end_identifier}
        left = list(relays)
        for _ in range(2):
            taker = until(lambda: next((relay for relay in left if not relay.downlinks.empty()), None), "a relay with the downlink")
            ends.add(taker.downlinks.get().message.header.end_to_end_identifier)
            left.remove(taker)
            taker.close()
        until(lambda: host.admin.get("/v1/twins/t1@acme.example/tickets").json()["tickets"][0]["state"] == "pending", "the mailbox has it again")
        assert len(ends) == 1 and left[0].downlinks.empty()
        with Mme(host) as mme:
            mme.attach("001030000000001")  # it comes back: a new request
            again = mme.downlinks.get(timeout=LIMIT_S)
            assert not again.message.header.is_retransmit and again.message.header.end_to_end_identifier not in ends
        left[0].close()
