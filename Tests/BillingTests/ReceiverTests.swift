// Deliveries from raw bytes to an answer, over a real database: what is 200 is on disk, once;
// what could not be stored is never 200.

import Bytes
import Clocks
import Configuration
import Database
import Glibc
import HTTPCodec
import HTTPServer
import Logging
import Metrics
import TestFolders
import Testing

@testable import Stripe
@testable import bindery_billing

private struct Desk {
  let folder = TestFolder("billing")
  let database: DatabaseThread
  let routes: BillingRoutes
  let secret: WebhookSecret

  init(isSetUp: Bool = true) throws {
    _ = try MigrationRunner(directory: folder.path).run()
    database = try DatabaseThread(DatabaseFile(.bindery, in: folder.path), as: .billing)
    var text = Array("whsec_desk".utf8)
    secret = WebhookSecret(SecretSetting(wiping: &text))
    routes = BillingRoutes(
      receiver: Receiver(
        secrets: isSetUp ? [secret] : [], inbox: Inbox(database: database), log: .discarding,
        metrics: BillingMetrics(MetricRegistry()), onNews: {}))
  }

  func event(_ id: String) -> [UInt8] {
    Array(
      """
      {"id":"\(id)","type":"invoice.paid","created":1700000000,"livemode":false,
       "data":{"object":{"id":"in_1","object":"invoice","customer":"cus_1"}}}
      """.utf8)
  }

  func signature(_ body: [UInt8]) -> String {
    let time = "\(UnixTime.now.seconds)"
    let message = Array("\(time).".utf8) + body
    return "t=\(time),v1=" + Hex.encode(message.withUnsafeBytes { secret.authenticate($0) })
  }

  func post(
    _ body: [UInt8], signature: String? = nil, to path: String = "/webhooks/stripe",
    method: Method = .post
  ) async -> Response {
    await routes.respond(
      to: Request(
        method: method, path: path, query: nil,
        fields: [("stripe-signature", signature ?? self.signature(body))], body: body,
        client: nil, viaEdge: true))
  }

  func rows() async throws -> [(id: String, state: String, body: [UInt8])] {
    try await database.run { (database) throws(DatabaseError) in
      try database.all("SELECT id, state, body FROM stripe_inbox ORDER BY sequence LIMIT 1000") {
        (row) throws(DatabaseError) in (try row.text(0), try row.text(1), try row.blob(2))
      }
    }
  }
}

@Suite("Webhook receiver") struct ReceiverTests {
  @Test("files an event byte for byte before it says yes, on both paths") func files() async throws
  {
    let desk = try Desk()
    #expect(await desk.post(desk.event("evt_1")).status == 200)
    #expect(await desk.post(desk.event("evt_2"), to: "/api/webhooks/stripe").status == 200)
    let rows = try await desk.rows()
    #expect(rows.map(\.id) == ["evt_1", "evt_2"])
    #expect(rows.map(\.state) == ["waiting", "waiting"])
    #expect(rows[0].body == desk.event("evt_1"))
    let depth = try await Inbox(database: desk.database).depth()
    #expect(depth.waiting == 2 && depth.parked == 0 && depth.oldestReceivedAt != nil)
  }

  @Test("files sixty-four copies once and says yes to each") func copies() async throws {
    let desk = try Desk()
    let body = desk.event("evt_many")
    let signature = desk.signature(body)
    let good = await withTaskGroup(of: Int.self) { group in
      for _ in 0..<64 { group.addTask { await desk.post(body, signature: signature).status } }
      return await group.reduce(0) { $0 + ($1 == 200 ? 1 : 0) }
    }
    #expect(good == 64)
    #expect(try await desk.rows().map(\.id) == ["evt_many"])
  }

  @Test("says no to a forgery and to what is no event, and files neither") func refuses()
    async throws
  {
    let desk = try Desk()
    let body = desk.event("evt_1")
    #expect(await desk.post(body, signature: "t=1,v1=00").status == 400)
    #expect(await desk.post(Array("{}".utf8)).status == 400)
    #expect(await desk.post([]).status == 400)
    #expect(try await desk.rows().isEmpty)
  }

  @Test("says 503 when the event could not be stored") func notStored() async throws {
    let desk = try Desk()
    desk.database.stop()
    desk.database.join()
    #expect(await desk.post(desk.event("evt_1")).status == 503)
  }

  @Test("says that billing is off when it is, whatever comes") func disabled() async throws {
    let desk = try Desk(isSetUp: false)
    let response = await desk.post(desk.event("evt_1"))
    #expect(response.status == 503)
    #expect(String(decoding: response.body, as: UTF8.self).contains("\"billing_disabled\""))
    #expect(try await desk.rows().isEmpty)
  }

  @Test("knows its two paths and one method") func routes() async throws {
    let desk = try Desk()
    #expect(await desk.post([], to: "/webhooks/stripe/").status == 404)
    #expect(await desk.post([], method: .get).status == 405)
  }
}
