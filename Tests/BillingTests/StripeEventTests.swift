// What is read of an event's envelope, and what is refused: only a body that nobody can file is
// an error, never a field that Stripe adds.

import Testing

@testable import Stripe
@testable import bindery_billing

@Suite("Stripe event") struct StripeEventTests {
  static func read(_ text: String) -> Result<StripeEvent, EventError> {
    do throws(EventError) {
      return .success(try StripeEvent(json: Array(text.utf8)))
    } catch { return .failure(error) }
  }

  static func envelope(
    id: String = #""evt_1""#, created: String = "1700000000", object: String = "{}",
    extra: String = ""
  ) -> String {
    """
    {"id":\(id),"type":"customer.subscription.updated","created":\(created),"livemode":true\
    \(extra),"data":{"object":\(object)}}
    """
  }

  static func nested(_ depth: Int) -> String {
    String(repeating: #"{"a":"#, count: depth) + "1" + String(repeating: "}", count: depth)
  }

  @Test(
    "gives the names of its object and its customer",
    arguments: [
      (
        #"{"id":"sub_1","object":"subscription","customer":"cus_1"}"#, "subscription", "sub_1",
        "cus_1"
      ),
      (#"{"id":"cus_2","object":"customer"}"#, "customer", "cus_2", "cus_2"),
      (#"{"id":"in_1","object":"invoice","customer":{"id":"cus_3"}}"#, "invoice", "in_1", "cus_3"),
      (#"{"id":"x","object":"price","customer":null}"#, "price", "x", nil),
      (#"{}"#, nil, nil, nil),
    ] as [(String, String?, String?, String?)])
  func names(object: String, type: String?, id: String?, customer: String?) throws {
    let event = try Self.read(Self.envelope(object: object)).get()
    #expect(event.objectType == type)
    #expect(event.objectID == id)
    #expect(event.customerID == customer)
  }

  @Test("keeps version and account, and ignores what Stripe adds") func extras() throws {
    let event = try Self.read(
      Self.envelope(
        extra: #","api_version":"2025-01-27","account":"acct_1","request":{"id":null},"x":[1]"#)
    ).get()
    #expect(event.apiVersion == "2025-01-27")
    #expect(event.account == "acct_1")
    #expect(event.isLive)
    #expect(event.createdAt == 1_700_000_000)
  }

  @Test(
    "is refused without its fields",
    arguments: [
      "", "{", "[]", "null", "{}", #"{"id":"evt_1"}"#,
      envelope(id: "1"), envelope(id: "null"), envelope(created: #""1700000000""#),
      envelope(created: "1.5"), envelope(created: "99999999999999999999"),
      envelope(extra: #","id":"evt_2""#),  // an id with two values
      envelope(
        object: String(repeating: #"{"a":"#, count: 70) + "1" + String(repeating: "}", count: 70)),
      envelope(object: "[]"), envelope(object: #"{"id":7}"#),
      envelope(extra: #","id":"evt_2""#),  // an id with two values
      envelope(object: nested(70)),
    ])
  func unreadable(text: String) {
    #expect(Self.read(text) == .failure(.unreadable))
  }

  @Test("with an empty or endless name is refused") func lengths() {
    #expect(Self.read(Self.envelope(id: #""""#)) == .failure(.fieldTooLong))
    let long = "\"" + String(repeating: "e", count: 256) + "\""
    #expect(Self.read(Self.envelope(id: long)) == .failure(.fieldTooLong))
  }
}
