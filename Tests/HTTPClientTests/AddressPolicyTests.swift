// Where a stranger can make us send a request, and where not. Addresses are judged after resolution,
// in binary, and the connection goes to what was judged.

import Clocks
import EventLoop
import HTTPClient
import HTTPCodec
import HTTPServer
import Posix
import Synchronization
import Testing
import Transport

private final class Answering: RequestHandler {
  let served = Mutex(0)

  func respond(to request: Request) async -> Response {
    served.withLock { $0 += 1 }
    return Response(
      status: 302, fields: [("location", "/other")],
      body: Array((request.field("user-agent") ?? "").utf8))
  }
}

/// A resolver's script: what each question is answered, and how many were asked.
private final class Script: Sendable {
  private let answers: Mutex<[[String]]>
  let asked = Mutex(0)

  init(_ answers: [[String]]) { self.answers = Mutex(answers) }

  func ask(_ host: String) -> [IPAddress] {
    asked.withLock { $0 += 1 }
    let texts = answers.withLock { $0.count > 1 ? $0.removeFirst() : $0.first ?? [] }
    return texts.compactMap { IPAddress($0) }
  }
}

@Suite("Addresses that strangers name", .serialized) struct AddressPolicyTests {
  private static func origin(_ url: String) -> Origin? { WebURL(url).map { Origin($0) } }

  static let literals: [(String, AddressRefusal?)] = [
    ("https://93.184.215.14/", nil), ("https://[2606:2800:21f::1]/", nil),
    ("https://example.com/", nil), ("https://example.com:8443/", nil),
    ("http://example.com/", .insecure), ("http://93.184.215.14/", .insecure),
    ("https://example.com:22/", .port), ("https://example.com:80/", .port),
    ("https://example.com:25/", .port), ("https://example.com:1024/", nil),
    ("https://127.0.0.1/", .specialUse), ("https://127.8.9.1:8443/", .specialUse),
    ("https://[::1]/", .specialUse), ("https://0.0.0.0/", .specialUse),
    ("https://10.0.0.1/", .specialUse), ("https://172.16.0.1/", .specialUse),
    ("https://172.31.255.255/", .specialUse), ("https://172.32.0.1/", nil),
    ("https://192.168.1.1/", .specialUse), ("https://169.254.169.254/", .specialUse),
    ("https://100.64.0.1/", .specialUse), ("https://100.128.0.1/", nil),
    ("https://224.0.0.1/", .specialUse), ("https://255.255.255.255/", .specialUse),
    ("https://[fc00::1]/", .specialUse), ("https://[fd12::1]/", .specialUse),
    ("https://[fe80::1]/", .specialUse), ("https://[ff02::1]/", .specialUse),
    ("https://[::ffff:10.0.0.1]/", .specialUse), ("https://[::ffff:7f00:1]/", .specialUse),
    ("https://[::10.0.0.1]/", .specialUse), ("https://[64:ff9b::a00:1]/", .specialUse),
    ("https://[2002:a00:1::]/", .specialUse), ("https://[::]/", .specialUse),
  ]

  @Test("are public and under https", arguments: literals)
  func table(url: String, expected: AddressRefusal?) throws {
    let origin = try #require(Self.origin(url), "\(url) is a URL")
    #expect(AddressPolicy.strangerNamed(allowsLoopback: false).refusal(of: origin) == expected)
    #expect(AddressPolicy.operatorNamed.refusal(of: origin) == nil)
  }

  static let spellings = [
    "https://0x7f.1/", "https://127.1/", "https://2130706433/", "https://0177.0.0.1/",
    "https://127.0.0.1\\@example.com/", "https://example.com@10.0.0.1/", "https://[fe80::1%25lo]/",
    "https://①②⑦.0.0.1/", "https://127.0.0.1./", "https:///10.0.0.1/", "//10.0.0.1/",
  ]

  @Test("have one spelling", arguments: spellings) func spelling(url: String) {
    #expect(WebURL(url) == nil)
  }

  static let loopback: [(String, Bool)] = [
    ("http://127.0.0.1:9000/", true), ("http://localhost:1/", true), ("http://[::1]:80/", true),
    ("https://localhost/", true), ("http://localhost.example.com/", false),
    ("http://10.0.0.1/", false), ("https://10.0.0.1/", false), ("http://example.com/", false),
  ]

  @Test("may be literal loopback hosts where that is allowed", arguments: loopback)
  func loopbackHosts(url: String, isGood: Bool) throws {
    let origin = try #require(Self.origin(url))
    let refusal = AddressPolicy.strangerNamed(allowsLoopback: true).refusal(of: origin)
    #expect((refusal == nil) == isGood)
    #expect(AddressPolicy.strangerNamed(allowsLoopback: false).refusal(of: origin) != nil)
  }

  @Test("are not paths of sockets") func sockets() {
    let policy = AddressPolicy.strangerNamed(allowsLoopback: true)
    #expect(policy.refusal(of: Origin(unixPath: "/run/a.sock")) == .insecure)
    #expect(
      policy.refusal(of: [.unix(path: "/run/a.sock")], for: Origin(unixPath: "/run/a.sock"))
        == .specialUse)
  }

  /// Sends one request to a server on loopback; the URL's port is replaced by the server's.
  private func send(
    _ scheme: String, _ host: String, _ policy: AddressPolicy, answers: [[String]],
    bodyBytesMax: Int = 1 << 20
  ) async throws -> (result: Result<ClientResponse, ClientError>, served: Int, asked: Int) {
    let loop = try EventLoop(name: "test")
    loop.start()
    defer { loop.stop() }
    let handler = Answering()
    let address = try #require(SocketAddress("127.0.0.1:0"))
    let server = try await WebServer(
      ListenOptions(addresses: [address]), loops: [loop], handler: handler)
    var bound: UInt16?
    if case .ip(_, let port)? = server.addresses.first { bound = port }
    let port = try #require(bound)
    let script = Script(answers)
    let client = OneShotClient(
      loop: loop, resolver: Resolver { script.ask($0) }, tls: try ClientTLS(trustPath: nil))
    let url = try #require(WebURL("\(scheme)://\(host):\(port)/a"))
    let result: Result<ClientResponse, ClientError>
    do throws(ClientError) {
      result = .success(
        try await client.send(
          ClientRequest(method: .get, origin: Origin(url), target: url.target), policy: policy,
          deadline: .now.advanced(by: .seconds(10)), bodyBytesMax: bodyBytesMax))
    } catch { result = .failure(error) }
    await server.drain(patience: .zero)
    return (result, handler.served.withLock { $0 }, script.asked.withLock { $0 })
  }

  static let answers = [
    ["10.0.0.1"], ["127.0.0.1"], ["93.184.215.14", "10.0.0.1"], ["fd00::1", "93.184.215.14"],
    ["::ffff:127.0.0.1"], ["169.254.169.254"],
  ]

  @Test("are refused when one of them is not public", arguments: answers)
  func mixed(addresses: [String]) async throws {
    for allowsLoopback in [false, true] {
      let outcome = try await send(
        "https", "example.com", .strangerNamed(allowsLoopback: allowsLoopback),
        answers: [addresses])
      #expect(throws: ClientError.addressRefused(.specialUse)) { try outcome.result.get() }
      #expect(outcome.served == 0 && outcome.asked == 1)
    }
  }

  @Test("are resolved once: what was judged is what is connected to") func rebinding() async throws
  {
    let outcome = try await send(
      "http", "localhost", .strangerNamed(allowsLoopback: true),
      answers: [["127.0.0.1"], ["10.0.0.1"]])
    // A redirect is an answer: nothing follows it.
    #expect(try outcome.result.get().status == 302)
    #expect(outcome.served == 1 && outcome.asked == 1)
  }

  @Test("are refused when localhost is elsewhere") func localhostElsewhere() async throws {
    let outcome = try await send(
      "http", "localhost", .strangerNamed(allowsLoopback: true), answers: [["93.184.215.14"]])
    #expect(throws: ClientError.addressRefused(.specialUse)) { try outcome.result.get() }
  }

  @Test("cost no question when the URL alone is enough to refuse") func early() async throws {
    let outcome = try await send(
      "http", "example.com", .strangerNamed(allowsLoopback: true), answers: [["127.0.0.1"]])
    #expect(throws: ClientError.addressRefused(.insecure)) { try outcome.result.get() }
    #expect(outcome.asked == 0)
  }

  @Test("bind strangers only") func operators() async throws {
    let outcome = try await send(
      "http", "inside.example", .operatorNamed, answers: [["127.0.0.1"]])
    // It says who asks.
    #expect(try outcome.result.get().body == Array("Bindery".utf8))
    let head = try await send(
      "http", "inside.example", .operatorNamed, answers: [["127.0.0.1"]], bodyBytesMax: 0)
    #expect(try head.result.get().status == 302)
    #expect(try head.result.get().body.isEmpty)
  }
}
