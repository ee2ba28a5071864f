// A ledger over a real database for tests, events of Stripe as it writes them, and a Stripe that
// answers what it is told.

import Bytes
import Clocks
import Configuration
import Database
import HTTPClient
import HTTPCodec
import Logging
import Metrics
import OAuth
import RPC
import Synchronization
import TestFolders
import Testing

@testable import Stripe
@testable import bindery_billing

/// Billing's own database, and its rules.
final class Till: Sendable {
  static let user = "018f2b6a-7c1d-4e5f-8a9b-0c1d2e3f4a5b"
  static let rules = BillingRules(price: "price_1", isLive: false)

  let folder = TestFolder("till")
  let database: DatabaseThread
  let metrics = BillingMetrics(MetricRegistry())

  init() throws {
    _ = try MigrationRunner(directory: folder.path).run()
    let file = DatabaseFile(.bindery, in: folder.path)
    // The person has an account, or the tidying would take them for gone.
    try Connection(file, as: .auth).execute(
      "INSERT INTO users VALUES (?, 'ann@example.org', 'ann@example.org', 1)", .text(Self.user))
    database = try DatabaseThread(file, as: .billing)
  }

  deinit {
    database.stop()
    database.join()
  }

  /// Works within one transaction.
  func write<Value: Sendable>(
    _ body: @escaping @Sendable (Connection) throws(DatabaseError) -> Value
  ) async throws -> Value {
    try await database.run { (connection) throws(DatabaseError) in
      try connection.transaction { () throws(DatabaseError) in try body(connection) }
    }
  }

  /// Takes events into account, in their order.
  @discardableResult
  func take(_ events: [TestEvent], now: Int64 = 1_700_000_900) async throws -> [EventOutcome] {
    try await write { (connection) throws(DatabaseError) in
      let ledger = Ledger(connection, Self.rules, at: UnixTime(seconds: now))
      var outcomes: [EventOutcome] = []
      for event in events { outcomes.append(try ledger.take(event.news, of: event.happening)) }
      return outcomes
    }
  }

  /// Takes what Stripe's API shows.
  func read(_ subscription: String?, _ id: String = "sub_1", at time: Int64) async throws {
    let object = subscription.flatMap { StripeJSON.read(StripeSubscription.self, Array($0.utf8)) }
    try await write { (connection) throws(DatabaseError) in
      let ledger = Ledger(connection, Self.rules, at: UnixTime(seconds: time))
      let revision = try ledger.store.subscription(id)?.revision
      try ledger.take(object.map { Reading(object: $0, at: time) }, of: id, asOf: revision)
    }
  }

  func standing(of user: String = Till.user) async throws -> BillingStanding? {
    try await write { (connection) throws(DatabaseError) in
      try StandingStore(database: connection).standing(of: user)?.standing
    }
  }

  func subscription(_ id: String = "sub_1") async throws -> Subscription? {
    try await write { (connection) throws(DatabaseError) in
      try BillingStore(database: connection).subscription(id)
    }
  }

  func trail() async throws -> [String] {
    try await write { (connection) throws(DatabaseError) in
      try StandingStore(database: connection).trail(of: Till.user, limit: 100).map(\.text)
    }
  }
}

/// An event as Stripe writes it.
struct TestEvent: Sendable {
  let json: String
  let happening: Happening
  let news: StripeNews

  init(
    _ id: String, _ type: String, _ object: String, at created: Int64, isLive: Bool = false,
    version: String? = "2025-03-31.basil", account: String? = nil
  ) {
    let more =
      (version.map { #","api_version":"\#($0)""# } ?? "")
      + (account.map { #","account":"\#($0)""# } ?? "")
    json = """
      {"id":"\(id)","object":"event","type":"\(type)","created":\(created),"livemode":\(isLive)\
      \(more),"data":{"object":\(object)}}
      """
    let bytes = Array(json.utf8)
    guard let envelope = try? StripeEvent(json: bytes) else {
      preconditionFailure("no event: \(json)")
    }
    happening = Happening(envelope)
    news = StripeJSON.read(StripeNews.self, bytes) ?? .nothing
  }
}

/// A subscription as Stripe writes it.
func subscription(
  _ status: String, quantity: Int64 = 2, end: Int64 = 1_702_000_000, cancelsAtEnd: Bool = false,
  cancelAt: Int64? = nil, endedAt: Int64? = nil, id: String = "sub_1", customer: String = "cus_1",
  endInItem: Bool = true, user: String? = nil, price: String = "price_1"
) -> String {
  let period = #","current_period_end":\#(end)"#
  return """
    {"id":"\(id)","object":"subscription","customer":"\(customer)","status":"\(status)",\
    "created":1700000000,"cancel_at_period_end":\(cancelsAtEnd),\
    "cancel_at":\(cancelAt.map { "\($0)" } ?? "null"),\
    "ended_at":\(endedAt.map { "\($0)" } ?? "null")\(endInItem ? "" : period),\
    "metadata":{\(user.map { #""bindery_user_id":"\#($0)""# } ?? "")},\
    "items":{"object":"list","data":[{"id":"si_1","quantity":\(quantity),\
    "price":{"id":"\(price)"}\(endInItem ? period : "")}]}}
    """
}

/// An invoice of a subscription, with the reference in its new or its old place.
func invoice(_ id: String = "in_1", subscription: String? = "sub_1", isNew: Bool = true) -> String {
  let reference = subscription.map { id in
    isNew
      ? #","parent":{"type":"subscription_details","subscription_details":{"subscription":"\#(id)"}}"#
      : #","subscription":"\#(id)""#
  }
  return #"{"id":"\#(id)","object":"invoice","customer":"cus_1"\#(reference ?? "")}"#
}

/// A completed checkout.
func checkout(
  user: String? = Till.user, customer: String? = "cus_1", subscription: String? = "sub_1"
) -> String {
  func text(_ value: String?) -> String { value.map { "\"\($0)\"" } ?? "null" }
  return """
    {"id":"cs_test_1","object":"checkout.session","mode":"subscription","status":"complete",\
    "payment_status":"paid","client_reference_id":\(text(user)),"customer":\(text(customer)),\
    "subscription":\(text(subscription))}
    """
}

/// A Stripe that answers what it is told, by method and path.
final class ScriptedStripe: Fetching {
  struct Asked: Sendable {
    let line: String
    let body: String
    let fields: [String: String]
  }

  private struct State {
    var answers: [String: Result<ClientResponse, ClientError>] = [:]
    var asked: [Asked] = []
  }
  private let state = Mutex(State())

  var asked: [Asked] { state.withLock { $0.asked } }

  func set(_ line: String, _ json: String, status: Int = 200) {
    let answer = ClientResponse(
      status: status, fields: [("date", Array("Tue, 14 Nov 2023 22:28:20 GMT".utf8))],
      body: Array(json.utf8))
    state.withLock { $0.answers[line] = .success(answer) }
  }

  func fail(_ line: String) { state.withLock { $0.answers[line] = .failure(.timeout) } }

  func fetch(
    _ request: ClientRequest, policy: AddressPolicy, deadline: Instant, bodyBytesMax: Int
  ) async throws(ClientError) -> ClientResponse {
    let line = "\(request.method.text) \(request.target)"
    let path = line.split(separator: "?")[0]
    let fields = Dictionary(
      request.fields.map { ($0.name, String(decoding: $0.value, as: UTF8.self)) }
    ) { $1 }
    let answer = state.withLock { state -> Result<ClientResponse, ClientError> in
      state.asked.append(
        Asked(line: line, body: String(decoding: request.body, as: UTF8.self), fields: fields))
      return state.answers[line] ?? state.answers[String(path)]
        ?? .success(ClientResponse(status: 404))
    }
    return try answer.get()
  }

  /// The client of this Stripe.
  func api(_ till: Till) throws -> StripeAPI {
    var key = Array("sk_test_canary".utf8)
    guard let url = WebURL("https://stripe.example") else { throw ClientError.requestUnclean }
    return StripeAPI(
      url: url, key: SecretSetting(wiping: &key), fetching: self,
      posts: Posts(database: till.database), metrics: till.metrics, pause: { _ in })
  }
}
