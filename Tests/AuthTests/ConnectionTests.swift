// How a key is tried at its service, and how data keys travel from credential to credential: no
// network here, but real seals.

import Accounts
import Bytes
import Testing
import Vault

@testable import bindery_auth

@Suite("API key trial") struct TrialTests {
  static let result = #"{"jsonrpc":"2.0","id":1,"result":{"serverInfo":{}}}"#
  static let error = #"{"jsonrpc":"2.0","id":1,"error":{"code":-32022,"message":"x"}}"#
  static let rows: [(Int, String, TrialVerdict)] = [
    (200, result, .accepted), (200, error, .otherEra), (200, "", .unusable),
    (200, #"{"jsonrpc":"2.0","method":"notifications/message"}"#, .unusable),
    (200, #"{"id":1,"result":{}}"#, .unusable), (200, "<html>", .unusable),
    (202, "", .unusable), (401, result, .refused), (403, "", .refused), (400, error, .otherEra),
    (404, "", .otherEra), (405, "", .otherEra), (429, "", .unusable), (500, result, .unusable),
    (302, result, .unusable), (503, "", .unusable),
  ]

  @Test("an answer is accepted only as a JSON-RPC result", arguments: rows)
  func verdict(status: Int, body: String, expected: TrialVerdict) {
    let messages = TrialRequest.messages(
      contentType: "application/json; charset=utf-8", body: Array(body.utf8))
    #expect(TrialVerdict.ofMCP(status: status, messages: messages) == expected)
  }

  @Test("an event stream may say other things before it answers") func events() {
    let stream =
      ": hello\n\nid: 1\ndata:\n\nevent: message\r\ndata: {\"jsonrpc\":\"2.0\",\r\n"
      + "data: \"method\":\"x\"}\r\n\r\ndata: \(Self.result)\n\n"
    let messages = TrialRequest.messages(
      contentType: "text/event-stream", body: Array(stream.utf8))
    #expect(messages.count == 2)
    #expect(TrialVerdict.ofMCP(status: 200, messages: messages) == .accepted)
    let cut = Array(stream.utf8.dropLast(2))
    #expect(!TrialVerdict.isAnswered(by: TrialRequest.events(in: cut)))
  }

  @Test("a plain fetch tells by its status") func fetch() {
    let rows: [(Int, TrialVerdict)] = [
      (200, .accepted), (204, .accepted), (301, .unusable), (401, .refused), (403, .refused),
      (404, .unusable), (500, .unusable),
    ]
    for (status, expected) in rows { #expect(TrialVerdict.ofFetch(status: status) == expected) }
  }
}

@Suite("Key agent") struct KeyAgentTests {
  static let hex = String(repeating: "0123456789abcdef", count: 4)
  let connection = ConnectionID.random()
  let owner = UserID.random()
  let credential = CredentialID.random()

  private func ring(_ hex: String = hex) throws -> KeyRing {
    try Array(#"[{"key":"\#(hex)"}]"#.utf8).withUnsafeBytes { try KeyRing(text: $0) }
  }

  private func makeKeys(_ agent: KeyAgent, managed: Bool) throws -> KeyAgent.NewKeys {
    var tokens = Array("tokens".utf8)
    return try agent.makeKeys(
      sealing: Secret(wiping: &tokens), connection: connection, owner: owner,
      credential: credential, managed: managed)
  }

  /// The plaintext that `shown` opens through `wrap`.
  private func open(
    _ keys: KeyAgent.NewKeys, _ shown: ShownCredential, _ wrap: [UInt8], _ id: CredentialID
  ) throws -> [UInt8] {
    let engine = SealEngine()
    let presented = try #require(PresentedCredential(shown.text, environment: .test))
    let key = try wrapping(wrap) {
      try engine.unwrap(
        $0, with: presented.secret,
        context: .credentialWrap(
          credential: id.text, connection: connection.text, owner: owner.text))
    }
    var plain: [UInt8] = []
    try keys.blob.sealed.withUnsafeBytes { bytes in
      try engine.open(
        bytes, under: key,
        context: .tokenBlob(connection: connection.text, owner: owner.text, generation: 1)
      ) { (opened) throws(SealError) in plain = [UInt8](opened) }
    }
    return plain
  }

  private func wrapping(
    _ bytes: [UInt8], _ body: (UnsafeRawBufferPointer) throws -> DataKey
  ) throws -> DataKey {
    var key: DataKey?
    try bytes.withUnsafeBytes { key = try body($0) }
    guard let key = key.take() else { throw SealError.refused }
    return key
  }

  @Test("every further credential opens the same tokens", arguments: [false, true])
  func further(managed: Bool) throws {
    let agent = KeyAgent(ring: try ring(), environment: .test)
    let keys = try makeKeys(agent, managed: managed)
    #expect((keys.managedWrap != nil) == managed)
    #expect(try open(keys, keys.shown, keys.wrap, credential) == Array("tokens".utf8))
    let source: KeyAgent.Source
    if let wrap = keys.managedWrap {
      source = .managed(wrap)
    } else {
      let url = "http://127.0.0.1:8080/mcp/alpha/\(keys.shown.text)"
      source = .credential(
        id: credential, wrap: keys.wrap, secret: try #require(agent.present(url)))
    }
    let next = CredentialID.random()
    let made = try agent.makeFurtherKeys(
      from: source, connection: connection, owner: owner, credential: next)
    #expect(made.shown.text != keys.shown.text)
    #expect(try open(keys, made.shown, made.wrap, next) == Array("tokens".utf8))
    #expect(throws: (any Error).self) { try open(keys, keys.shown, made.wrap, next) }
  }

  @Test("another credential, row, owner or master key opens nothing") func refusals() throws {
    let agent = KeyAgent(ring: try ring(), environment: .test)
    let keys = try makeKeys(agent, managed: true)
    let stranger = try makeKeys(agent, managed: false).shown
    let presented = try #require(agent.present(stranger.apiKey))
    #expect(throws: Refusal.credentialRefused) {
      try agent.makeFurtherKeys(
        from: .credential(id: credential, wrap: keys.wrap, secret: presented),
        connection: connection, owner: owner, credential: .random())
    }
    let own = try #require(agent.present(keys.shown.apiKey))
    #expect(throws: Refusal.credentialRefused) {
      try agent.makeFurtherKeys(
        from: .credential(id: credential, wrap: keys.wrap, secret: own), connection: connection,
        owner: .random(), credential: .random())
    }
    let other = KeyAgent(ring: try ring(String(Self.hex.reversed())), environment: .test)
    let wrap = try #require(keys.managedWrap)
    #expect(throws: Refusal.failed) {
      try other.makeFurtherKeys(
        from: .managed(wrap), connection: connection, owner: owner, credential: .random())
    }
    #expect(throws: Refusal.managedModeOff) {
      try makeKeys(KeyAgent(ring: nil, environment: .test), managed: true)
    }
  }

  @Test("a credential is read from a URL, an API key of this deployment, or its text") func forms()
    throws
  {
    let agent = KeyAgent(ring: nil, environment: .test)
    let shown = try makeKeys(agent, managed: false).shown
    let lookup = try #require(agent.present(shown.text)).lookup
    for text in [shown.apiKey, "https://bindery.example/mcp/linear/\(shown.text)"] {
      #expect(agent.present(text)?.lookup == lookup)
    }
    let bad = [
      "", "/", "x", shown.text + "A", "bnd_live_" + shown.text, shown.text + "/", shown.text + "?",
    ]
    for text in bad { #expect(agent.present(text) == nil, "\(text.count)") }
  }
}
