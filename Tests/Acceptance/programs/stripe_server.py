# localstripe, which plays Stripe's API, with what it lacks and billing needs: checkout sessions, the
# billing portal, events of changed subscriptions, lists of events by types, prorations, and keys of
# idempotency that are kept. Below /_config/ is what a person does at Stripe's pages, and switches.
# usage: stripe_server.py PORT

import json
import sys
import time

from aiohttp import web
from localstripe import resources, webhooks
from localstripe.errors import UserError
from localstripe.resources import (Customer, Event, Invoice, PaymentMethod, StripeObject,
                                   Subscription, extra_apis, schedule_webhook)

resources.Store.dump_to_disk = lambda self: None  # everything is forgotten with the process


class CheckoutSession(StripeObject):
    object = "checkout.session"
    _id_prefix = "cs_test_"

    def __init__(self, mode=None, client_reference_id=None, line_items=None, success_url=None,
                 cancel_url=None, customer=None, customer_email=None, metadata=None,
                 subscription_data=None, allow_promotion_codes=None,
                 payment_method_collection=None):
        if mode != "subscription" or not success_url or not cancel_url or len(line_items) != 1:
            raise UserError(400, "Bad request")
        resources.Plan._api_retrieve(line_items[0]["price"])
        super().__init__()
        self.mode, self.client_reference_id = mode, client_reference_id
        self.customer, self.customer_email = customer, customer_email
        self.metadata, self.subscription = metadata or {}, None
        self.status, self.payment_status = "open", "unpaid"
        self.success_url, self.cancel_url = success_url, cancel_url
        self.url = f"https://checkout.stripe.example/{self.id}"
        self._line, self._subscription_data = line_items[0], subscription_data or {}

    def _complete(self):
        """What happens when the person has paid."""
        if self.customer is None:
            self.customer = Customer(email=self.customer_email).id
        use_card(self.customer, "pm_card_visa")
        subscription = Subscription._api_create(
            customer=self.customer, metadata=self._subscription_data.get("metadata"),
            items=[{"plan": self._line["price"], "quantity": self._line["quantity"]}])
        self.subscription, self.status, self.payment_status = subscription.id, "complete", "paid"
        schedule_webhook(Event("checkout.session.completed", self))


class PortalSession(StripeObject):
    object = "billing_portal.session"
    _id_prefix = "bps_"

    def __init__(self, customer=None, return_url=None):
        Customer._api_retrieve(customer)
        super().__init__()
        self.customer, self.return_url = customer, return_url
        self.url = f"https://billing.stripe.example/{self.id}"


extra_apis.extend((
    ("POST", "/v1/checkout/sessions", CheckoutSession._api_create),
    ("GET", "/v1/checkout/sessions/{id}", CheckoutSession._api_retrieve),
    ("POST", "/v1/billing_portal/sessions", PortalSession._api_create)))


def use_card(customer, name):
    card = PaymentMethod._api_retrieve(name)
    PaymentMethod._api_attach(card.id, customer=customer)
    Customer._api_update(customer, invoice_settings={"default_payment_method": card.id})


def with_types(original):
    def listed(cls, url, types=None, **data):
        found = original(url, **data)
        if types:
            found._list = [event for event in found._list if event.type in types]
        return found
    return classmethod(listed)


Event._api_list_all = with_types(Event._api_list_all)
change = Subscription._update


def changed(self, proration_behavior=None, **data):
    assert proration_behavior in (None, "create_prorations", "none")
    change(self, **data)
    schedule_webhook(Event("customer.subscription.updated", self))


Subscription._update = changed


async def send_at_once(event):
    """As localstripe sends, without its second of waiting, and signed with the time of sending."""
    import hashlib
    import hmac

    import aiohttp
    payload = json.dumps(event._export(), indent=2, sort_keys=True).encode()
    if switches["silent"]:
        return
    at = int(time.time())
    for hook in webhooks._webhooks.values():
        code = hmac.new(hook.secret.encode(), b"%d.%s" % (at, payload), hashlib.sha256).hexdigest()
        async with aiohttp.ClientSession() as session:
            try:
                async with session.post(hook.url, data=payload, headers={
                        "Content-Type": "application/json; charset=utf-8",
                        "Stripe-Signature": f"t={at},v1={code}"}) as answer:
                    delivered.append([event.type, answer.status])
            except aiohttp.ClientError:
                delivered.append([event.type, 0])


webhooks._send_webhook = send_at_once
switches = {"down": False, "silent": False}
delivered, requests, kept = [], [], {}


@web.middleware
async def watch(request, handler):
    if not request.path.startswith("/v1/"):
        return await handler(request)
    key = request.headers.get("Idempotency-Key")
    requests.append({"method": request.method, "path": request.path, "key": key,
                     "version": request.headers.get("Stripe-Version"),
                     "authorization": request.headers.get("Authorization")})
    if switches["down"]:
        return web.json_response({"error": {"type": "api_error"}}, status=503)
    if request.method != "POST" or key is None:
        return await handler(request)
    body = await request.read()
    if key in kept:
        before, status, text = kept[key]
        if before != (request.path, body):
            return web.json_response({"error": {"type": "idempotency_error"}}, status=400)
        return web.Response(status=status, text=text, content_type="application/json")
    answer = await handler(request)
    kept[key] = ((request.path, body), answer.status, answer.text)
    return answer


from localstripe.server import app  # noqa: E402  the routes are made from what is there now


async def complete(request):
    CheckoutSession._api_retrieve(request.match_info["id"])._complete()
    return web.Response()


async def renew(request):
    """A new period begins: an invoice is made and paid with the card that is there."""
    subscription = Subscription._api_retrieve(request.match_info["id"])
    use_card(subscription.customer, request.query["card"])
    was = subscription.status
    invoice = Invoice._get_next_invoice(customer=subscription.customer,
                                        subscription=subscription.id)
    try:
        Invoice._api_pay_invoice(invoice.id)
    except UserError:
        pass
    if invoice.status != "paid":  # localstripe tells so only when the bank takes its time
        invoice._on_payment_failure_now()
    if subscription.status != was:
        schedule_webhook(Event("customer.subscription.updated", subscription))
    return web.json_response({"invoice": invoice.id, "status": invoice.status})


async def switch(request):
    switches[request.match_info["name"]] = request.query["on"] == "1"
    return web.Response()


async def tell(request):
    return web.json_response({"requests": requests, "delivered": delivered, "kept": len(kept)})


app.router.add_post("/_config/complete/{id}", complete)
app.router.add_post("/_config/renew/{id}", renew)
app.router.add_post("/_config/switch/{name}", switch)
app.router.add_get("/_config/told", tell)
app.middlewares.insert(0, watch)
web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), print=None)
