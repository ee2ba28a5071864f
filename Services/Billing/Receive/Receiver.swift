// One delivery of Stripe's, from raw bytes to an answer: signature first, then JSON, then the
// inbox. 200 means that the event is on disk; 400 that it is not Stripe's or not an event; 5xx
// that Stripe should send it again. Answers are constants and quote nothing.

import Clocks
import Database
import HTTPServer
import Logging
import Stripe

/// Receives webhooks.
struct Receiver: Sendable {
  /// A longer body is 413.
  static let bodyBytesMax = 1 << 20

  let secrets: [WebhookSecret]
  let inbox: Inbox
  let log: Log
  let metrics: BillingMetrics
  /// Called when an event was filed that was not there before.
  let onNews: @Sendable () -> Void

  /// The answer to a delivery.
  func receive(_ request: Request) async -> Response {
    guard !secrets.isEmpty else {
      return answer(503, .disabled, "billing_disabled", "Billing is not set up")
    }
    let headers = request.fields.filter { $0.name == "stripe-signature" }
    do throws(SignatureError) {
      try StripeSignature.admit(
        headers: headers.map { Array($0.value.utf8) }, body: request.body, secrets: secrets,
        now: .now)
    } catch {
      log.warning("webhook_signature_refused", ["reason": .literal(error.label)])
      return answer(400, .refusedSignature, "invalid_signature", "The signature does not verify")
    }
    let event: StripeEvent
    do throws(EventError) {
      event = try StripeEvent(json: request.body)
    } catch {
      log.warning("webhook_payload_refused")
      return answer(400, .refusedPayload, "invalid_payload", "The body is no event")
    }
    return await file(event, request.body)
  }

  private func file(_ event: StripeEvent, _ body: [UInt8]) async -> Response {
    let start = Instant.now
    do throws(DatabaseError) {
      let filing = try await inbox.file(event, body: body, at: .now)
      metrics.filingSeconds.observe(start.duration(to: .now))
      metrics.deliveries[filing == .new ? .stored : .known].add()
      if filing == .new { onNews() }
      return .json(Array(#"{"received":true}"#.utf8))
    } catch {
      log.error("webhook_not_stored", ["reason": .literal(error.label)])
      return answer(503, .notStored, "not_stored", "The event could not be stored; send it again")
    }
  }

  private func answer(
    _ status: Int, _ outcome: DeliveryOutcome, _ code: StaticString, _ message: StaticString
  ) -> Response {
    metrics.deliveries[outcome].add()
    return .json(
      status: status, Array("{\"error\":\"\(code)\",\"message\":\"\(message)\"}".utf8))
  }
}
