// Shows that neither our client nor our server writes a field that would be more than one line. Both
// talk to each other over loopback; the server counts what reached it.

import Clocks
import EventLoop
import HTTPClient
import HTTPCodec
import HTTPServer
import Posix
import Synchronization
import Testing
import Transport

/// Answers every request with the fields it was made with.
private final class Fixed: RequestHandler {
  let fields: [(name: String, value: String)]
  let served = Mutex(0)

  init(_ fields: [(name: String, value: String)]) { self.fields = fields }

  func respond(to request: Request) async -> Response {
    served.withLock { $0 += 1 }
    return Response(status: 200, fields: fields, body: Array("secret".utf8))
  }
}

@Suite("Fields on the wire", .serialized) struct CleanFieldTests {
  /// Sends one request; gives the outcome and how many requests the server saw.
  private func exchange(
    target: String = "/", asking: [(name: String, value: [UInt8])] = [],
    answering: [(name: String, value: String)] = []
  ) async throws -> (Result<ClientResponse, ClientError>, Int) {
    let loop = try EventLoop(name: "test")
    loop.start()
    defer { loop.stop() }
    let handler = Fixed(answering)
    let address = try #require(SocketAddress("127.0.0.1:0"))
    let server = try await WebServer(
      ListenOptions(addresses: [address]), loops: [loop], handler: handler)
    var bound: UInt16?
    if case .ip(_, let port)? = server.addresses.first { bound = port }
    let port = try #require(bound)
    let client = OneShotClient(
      loop: loop, resolver: Resolver(), tls: try ClientTLS(trustPath: nil))
    let request = ClientRequest(
      method: .post, origin: Origin(isSecure: false, host: "127.0.0.1", port: port),
      target: target, fields: asking, body: [1])
    let result: Result<ClientResponse, ClientError>
    do throws(ClientError) {
      result = .success(
        try await client.send(request, deadline: Instant.now.advanced(by: .seconds(10))))
    } catch { result = .failure(error) }
    await server.drain(patience: .zero)
    return (result, handler.served.withLock { $0 })
  }

  static let split = ["a\r\nx-b: c", "a\nb", "a\rb", "a\u{0}b", "a\u{7f}", "\u{1b}[0m"]

  @Test("pass when they are one line") func clean() async throws {
    let (result, served) = try await exchange(
      target: "/a?b=c", asking: [("x-a", Array("b\tc é".utf8)), ("x-b", [])],
      answering: [("x-c", "d\té")])
    let answer = try result.get()
    #expect(served == 1 && answer.status == 200 && answer.body == Array("secret".utf8))
    #expect(answer.field("x-c") == Array("d\té".utf8))
  }

  @Test("are not sent when they are more", arguments: split) func asking(value: String)
    async throws
  {
    let (result, served) = try await exchange(asking: [("x-a", Array(value.utf8))])
    #expect(throws: ClientError.requestUnclean) { try result.get() }
    #expect(served == 0)
  }

  @Test("have names of their own", arguments: ["", "x a", "x:", "x\r\ny", "é"])
  func names(name: String) async throws {
    let asked = try await exchange(asking: [(name, [1])])
    #expect(throws: ClientError.requestUnclean) { try asked.0.get() }
    #expect(asked.1 == 0)
    let answered = try await exchange(answering: [(name, "a")])
    #expect(try answered.0.get().status == 500)
  }

  @Test("follow a target of one word", arguments: ["", "a", "/a b", "/a\r\nx: y", "/\u{0}", "/é"])
  func targets(target: String) async throws {
    let (result, served) = try await exchange(target: target)
    #expect(throws: ClientError.requestUnclean) { try result.get() }
    #expect(served == 0)
  }

  @Test("turn an answer into a plain failure when they are more", arguments: split)
  func answering(value: String) async throws {
    let (result, served) = try await exchange(answering: [("location", value)])
    let answer = try result.get()
    #expect(served == 1 && answer.status == 500 && answer.field("location") == nil)
    #expect(!String(decoding: answer.body, as: UTF8.self).contains("secret"))
  }
}
