"""A headless Chromium behind chromedriver, spoken to with the standard library (W3C WebDriver)."""

import base64
import json
import re
import shutil
import subprocess
import tempfile
import time
import urllib.error
import urllib.request

ELEMENT = "element-6066-11e4-a52e-4f735466cecf"  # WebDriver 11.1
WAIT = 60  # seconds: a generous limit, never a measurement
FLAGS = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-proxy-server",
]


def is_missing():
    return next(
        (f"{name} is not installed" for name in ("chromium", "chromedriver") if shutil.which(name) is None), None
    )


class Browser:
    def __init__(self, width=1280, height=800, is_dark=False):
        self.profile = tempfile.TemporaryDirectory(prefix="dromio-browser-", ignore_cleanup_errors=True)
        self.driver = subprocess.Popen(
            ["chromedriver", "--port=0"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8"
        )
        port = next(
            match.group(1)
            for line in self.driver.stdout
            if (match := re.search(r"started successfully on port (\d+)", line))
        )
        self.base = f"http://127.0.0.1:{port}/session"
        flags = FLAGS + [f"--user-data-dir={self.profile.name}", f"--window-size={width},{height}"]
        flags += ["--force-dark-mode", "--blink-settings=preferredColorScheme=0"] if is_dark else []
        wanted = {
            "browserName": "chrome",
            "goog:chromeOptions": {"binary": shutil.which("chromium"), "args": flags},
            "goog:loggingPrefs": {"browser": "ALL"},
        }
        self.base += "/" + self.ask("POST", "", {"capabilities": {"alwaysMatch": wanted}})["sessionId"]

    def __enter__(self):
        return self

    def __exit__(self, *reason):
        try:
            self.ask("DELETE", "")
        finally:
            self.driver.terminate()
            self.driver.wait(WAIT)
            self.driver.stdout.close()
            self.profile.cleanup()

    def ask(self, method, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.base + path, data, {"Content-Type": "application/json"}, method=method)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=WAIT * 2) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            raise AssertionError(json.load(error)["value"]["message"]) from None

    def go(self, url):
        self.ask("POST", "/url", {"url": url})

    def script(self, text, *arguments):
        return self.ask("POST", "/execute/sync", {"script": text, "args": list(arguments)})

    def text(self):
        return self.script("return document.body.innerText")

    def until(self, expression):
        """Waits until a JavaScript expression is true; gives its value."""
        end = time.monotonic() + WAIT
        while not (value := self.script(f"return {expression}")):
            assert time.monotonic() < end, f"never came: {expression}\n{self.text()}"
            time.sleep(0.05)
        return value

    def until_text(self, text):
        return self.until(f"document.body.innerText.includes({json.dumps(text)})")

    def find(self, selector):
        self.until(f"document.querySelector({json.dumps(selector)}) !== null")
        return self.ask("POST", "/element", {"using": "css selector", "value": selector})[ELEMENT]

    def click(self, selector):
        self.ask("POST", f"/element/{self.find(selector)}/click", {})

    def type(self, selector, text):
        element = self.find(selector)
        self.ask("POST", f"/element/{element}/clear", {})
        self.ask("POST", f"/element/{element}/value", {"text": text})

    def screenshot(self, path):
        with open(path, "wb") as file:
            file.write(base64.b64decode(self.ask("GET", "/screenshot")))

    def complaints(self):
        """What the browser's console says that is bad: errors, and whatever the content security policy refused."""
        return [row["message"] for row in self.ask("POST", "/se/log", {"type": "browser"}) if row["level"] == "SEVERE"]
