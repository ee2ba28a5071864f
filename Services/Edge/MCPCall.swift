// What is remembered of an MCP request once its head is gone: a few small facts and no text
// of the client's.

import Bytes
import Clocks
import HTTPCodec
import Posix

/// The facts of one MCP request.
struct MCPCall {
  let service: Range<Int>
  let credential: Range<Int>?
  let part: Route.Part
  let method: Method
  let client: IPAddress?
  let startedAt: Instant
  /// The JSON-RPC method from `Mcp-Method`, when it is a known one.
  let rpcMethod: StaticString?

  init(
    _ head: RequestHead, in bytes: UnsafeRawBufferPointer, service: Range<Int>,
    credential: Range<Int>?, part: Route.Part, client: IPAddress?, startedAt: Instant
  ) {
    self.service = service
    self.credential = credential
    self.part = part
    self.client = client
    self.startedAt = startedAt
    method = head.method
    rpcMethod = head.value(.mcpMethod, in: bytes).flatMap { shown in
      Self.knownMethods.first {
        shown.elementsEqual(
          UnsafeRawBufferPointer(start: $0.utf8Start, count: $0.utf8CodeUnitCount))
      }
    }
  }

  /// How the credential was shown.
  var form: CredentialForm { credential == nil ? .header : .url }

  private static let knownMethods: [StaticString] = [
    "tools/call", "tools/list", "resources/read", "resources/list", "resources/templates/list",
    "prompts/get", "prompts/list", "completion/complete", "server/discover", "subscriptions/listen",
    "initialize", "ping", "notifications/initialized", "notifications/cancelled", "tasks/get",
    "tasks/result", "tasks/list", "tasks/cancel", "logging/setLevel", "resources/subscribe",
    "resources/unsubscribe",
  ]
}
