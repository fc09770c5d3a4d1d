"""Tests that run inside of a guest (tools/uml), with the peers of the flow tests."""
import pathlib
import sys

TESTS = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS / "peers"), str(TESTS / "flow")]
