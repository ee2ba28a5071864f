# localstripe as Stripe, in a process of its own: what a person does at Stripe's pages, what Stripe was
# asked, and its API through the official library.

import http.client
import json
import subprocess

import stripe
from system import ROOT, free_port
from waiting import until

KEY, PRICE, SECRET = "sk_test_canary_4242", "price_connections", "whsec_localstripe"


class Stripe:
    """One Stripe."""

    def __init__(self):
        self.port = free_port()
        self.process = subprocess.Popen(
            [str(ROOT / ".venv-stripe" / "bin" / "python"),
             str(ROOT / "Tests" / "Acceptance" / "programs" / "stripe_server.py"), str(self.port)],
            stdin=subprocess.DEVNULL)
        until(self.answers, 20, "localstripe")
        self.api = stripe.StripeClient(KEY, base_addresses={"api": self.url}, max_network_retries=0)
        self.api.raw_request("post", "/v1/plans", id=PRICE, amount=500, currency="eur",
                             interval="month", product={"name": "Connections"})

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    @property
    def settings(self):
        return {"STRIPE_SECRET_KEY": KEY, "STRIPE_WEBHOOK_SECRET": SECRET,
                "STRIPE_PRICE_CONNECTIONS": PRICE, "STRIPE_API_URL": self.url}

    def answers(self):
        try:
            return self.config("GET", "told")
        except OSError:
            return None

    def config(self, method, path, body=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            headers = {"Content-Type": "application/json"} if body else {}
            connection.request(method, f"/_config/{path}", body and json.dumps(body), headers)
            answer = connection.getresponse()
            text = answer.read()
            assert answer.status == 200, (path, answer.status, text)
            return json.loads(text) if text.startswith(b"{") else True
        finally:
            connection.close()

    def send_to(self, system):
        """Has events delivered to a system from now on."""
        self.config("POST", "webhooks/bindery",
                    {"url": f"http://{system.host}/webhooks/stripe", "secret": SECRET})

    def complete(self, page):
        """Pays at the page of a checkout; gives the session's id."""
        session = page.rsplit("/", 1)[1]
        self.config("POST", f"complete/{session}")
        return session

    def renew(self, subscription, card="pm_card_visa"):
        return self.config("POST", f"renew/{subscription}?card={card}")

    def switch(self, name, on):
        self.config("POST", f"switch/{name}?on={int(on)}")

    def told(self):
        return self.config("GET", "told")

    def close(self):
        self.process.terminate()
        self.process.wait(10)
