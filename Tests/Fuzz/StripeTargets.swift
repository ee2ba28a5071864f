// What comes to the webhook's door: the signature header from anybody, and, once it is signed, events
// whatever they hold. Nothing traps; what is taken keeps its bounds.

import StrictJSON
import Stripe

func fuzzStripeSignatures(_ bytes: UnsafeRawBufferPointer) {
  let header = Array(bytes)
  guard let fields = try? StripeSignature.parse(header) else { return }
  promise(fields.signatures.allSatisfy { $0.count == 32 }, "a v1 is a SHA-256")
  promise(fields.timestamp >= 0, "no sign is read")
  promise("\(fields.timestamp)".utf8.elementsEqual(fields.timestampText), "one spelling of a time")
  promise(fields.signatures.count <= header.count / 64, "no more v1 than fit")
}

func fuzzStripeEvents(_ bytes: UnsafeRawBufferPointer) {
  let body = Array(bytes)
  if let event = try? StripeEvent(json: body) {
    promise(isWellFormed(body), "what is taken for an event is strict JSON")
    promise(!event.id.isEmpty && event.id.utf8.count <= 255, "an id fits its column")
    promise((event.customerID?.utf8.count ?? 0) <= 255, "a customer fits its column")
  }
  guard let news = StripeJSON.read(StripeNews.self, body) else { return }
  promise(isWellFormed(body), "news are strict JSON")
  if case .subscription(let subscription, _) = news {
    for item in subscription.counted(price: "price_1") {
      promise((0...1_000_000).contains(item.quantity ?? 1), "a quantity is bounded")
    }
    let times = [subscription.periodEnd(price: nil), subscription.cancelAt, subscription.endedAt]
    promise(
      times.allSatisfy { (0...253_402_300_799).contains($0 ?? 0) }, "times add without overflow")
  }
  _ = StripeJSON.read(StripeList<ListedEvent>.self, body)
  _ = StripeClock.seconds(body)
}
