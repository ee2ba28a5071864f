// What a service answers: one typed handler for each call of the table that it takes. Decoding
// and encoding happen here, after the caller table has admitted the call.

import Clocks

/// What a handler may know of the call it answers.
public struct CallContext: Sendable {
  public let caller: Service
  /// When the caller stops waiting.
  public let deadline: Instant
}

/// The calls that a process answers.
public struct CallHandlers: Sendable {
  typealias Handler =
    @Sendable (ArraySlice<UInt8>, CallContext) async -> Result<[UInt8], Refusal>
  private var handlers: [CallName: Handler] = [:]

  public init() {}

  /// Answers a call with `body`, which runs on the server's loop and must not block it.
  public mutating func answer<C: Call>(
    _: C.Type,
    with body: @escaping @Sendable (C.Request, CallContext) async throws(Refusal) -> C.Response
  ) {
    precondition(handlers[C.name] == nil, "two answers to one call")
    handlers[C.name] = { payload, context in
      guard let request = try? Payload.decode(C.Request.self, from: payload) else {
        return .failure(.malformedRequest)
      }
      do throws(Refusal) {
        let response = try await body(request, context)
        guard let bytes = try? Payload.encode(response) else { return .failure(.failed) }
        return .success(bytes)
      } catch { return .failure(error) }
    }
  }

  subscript(name: CallName) -> Handler? { handlers[name] }
}
