// Asks Stripe. Every call has a deadline and few tries; what may be asked twice is, and what changes
// something carries a key that is on disk before it is sent, so that a second time is not a second
// effect. The secret key is in one header and nowhere else.
// Sources: docs.stripe.com/api/errors, /api/idempotent_requests, /error-low-level.

import Bytes
import Clocks
import Configuration
import Database
import HTTPClient
import HTTPCodec
import Metrics
import OAuth
import Stripe

/// Why Stripe gave no useful answer.
enum StripeFailure: Error, Equatable, Sendable {
  /// Nobody answered, or not in time, or not now: a later try may do.
  case unreachable
  /// There is no such object.
  case missing
  /// Stripe said no; what we asked is not to be.
  case refused(status: Int)
  /// The answer is not what it should be.
  case unreadable
  /// Our key is not accepted.
  case keyRefused
  case database(DatabaseError)

  /// One word for logs and counters.
  var label: StaticString {
    switch self {
    case .unreachable: "unreachable"
    case .missing: "missing"
    case .refused: "refused"
    case .unreadable: "unreadable"
    case .keyRefused: "key_refused"
    case .database: "database"
    }
  }
}

/// An object, and when it was so by Stripe's clock.
struct Reading<Object: Sendable>: Sendable {
  let object: Object
  let at: Int64
}

/// Stripe's API.
struct StripeAPI: Sendable {
  /// Tries of one call.
  static let triesMax = 3
  /// How long one try may take.
  static let patience = Duration.seconds(8)
  static let answerBytesMax = 4 << 20

  let url: WebURL
  let key: SecretSetting
  let fetching: any Fetching
  let posts: Posts
  let metrics: BillingMetrics
  let pause: @Sendable (Duration) async -> Void

  /// Reads one object or list.
  func get<T: Decodable & Sendable>(
    _ type: T.Type, _ path: String, _ query: [(String, String)] = []
  ) async throws(StripeFailure) -> Reading<T> {
    try Self.read(type, try await send(.get, path, query))
  }

  /// Ends an object. One that is gone already is fine.
  func delete(_ path: String) async throws(StripeFailure) {
    do throws(StripeFailure) {
      _ = try await send(.delete, path, [])
    } catch {
      if error != .missing { throw error }
    }
  }

  /// Makes or changes an object.
  /// - Parameter purpose: what is to happen and for whom; the same purpose with the same form is the
  ///   same request until its answer is known, also after a crash.
  func post<T: Decodable & Sendable>(
    _ type: T.Type, _ path: String, _ form: [(String, String)], purpose: String
  ) async throws(StripeFailure) -> Reading<T> {
    let body = Form(form.map { Form.Pair(name: $0.0, value: $0.1) }).encoded
    let idempotencyKey: String
    do throws(DatabaseError) {
      idempotencyKey = try await posts.key(for: purpose, sending: "\(path)?\(body)")
    } catch { throw .database(error) }
    do throws(StripeFailure) {
      let answer = try await send(.post, path, form, idempotencyKey)
      await posts.settle(purpose, idempotencyKey)
      return try Self.read(type, answer)
    } catch {
      // Without an answer nobody knows what happened: the next try is to be the same request.
      if error != .unreachable { await posts.settle(purpose, idempotencyKey) }
      throw error
    }
  }

  private static func read<T: Decodable>(
    _: T.Type, _ answer: ClientResponse
  ) throws(StripeFailure) -> Reading<T> {
    guard !answer.isPartial, let object = StripeJSON.read(T.self, answer.body) else {
      throw .unreadable
    }
    let time = answer.field("date").flatMap { StripeClock.seconds($0) }
    return Reading(object: object, at: time ?? UnixTime.now.seconds)
  }

  private func send(
    _ method: Method, _ path: String, _ pairs: [(String, String)], _ idempotencyKey: String? = nil
  ) async throws(StripeFailure) -> ClientResponse {
    let request = request(method, path, pairs, idempotencyKey)
    var tries = 0
    while true {
      tries += 1
      let verdict = await attempt(request)
      metrics.calls[CallOutcome(verdict)].add()
      switch verdict {
      case .good(let answer): return answer
      case .failure(let failure): throw failure
      case .again(let seconds):
        guard tries < Self.triesMax else { throw .unreachable }
        let spread = Int64(Randomness.uint64() % 250)
        await pause(.milliseconds(seconds.map { min($0, 5) * 1000 } ?? 250 << Int64(tries)))
        await pause(.milliseconds(spread))
      }
    }
  }

  private func request(
    _ method: Method, _ path: String, _ pairs: [(String, String)], _ idempotencyKey: String?
  ) -> ClientRequest {
    let base = url.path.utf8.last == 0x2f ? String(url.path.dropLast()) : url.path
    let form = Form(pairs.map { Form.Pair(name: $0.0, value: $0.1) }).encoded
    var fields: [(name: String, value: [UInt8])] = [
      ("accept", Array("application/json".utf8)),
      ("authorization", Array("Bearer ".utf8) + key.withBytes { Array($0) }),
      ("stripe-version", Array(BillingRules.apiVersion.utf8)),
    ]
    if let idempotencyKey { fields.append(("idempotency-key", Array(idempotencyKey.utf8))) }
    var target = "\(base)/v1/\(path)"
    var body: [UInt8] = []
    if method == .post {
      fields.append(("content-type", Array("application/x-www-form-urlencoded".utf8)))
      body = Array(form.utf8)
    } else if !form.isEmpty {
      target += "?\(form)"
    }
    return ClientRequest(
      method: method, origin: Origin(url), target: target, fields: fields, body: body)
  }

  /// What one try came to.
  enum Verdict {
    case good(ClientResponse)
    case failure(StripeFailure)
    /// Again, after so many seconds if Stripe says how many.
    case again(Int64?)
  }

  private func attempt(_ request: ClientRequest) async -> Verdict {
    let answer: ClientResponse
    do throws(ClientError) {
      answer = try await fetching.fetch(
        request, policy: .operatorNamed, deadline: .now.advanced(by: Self.patience),
        bodyBytesMax: Self.answerBytesMax)
    } catch { return .again(nil) }
    switch answer.status {
    case 200...299: return .good(answer)
    case 401, 403: return .failure(.keyRefused)
    case 404: return .failure(.missing)
    // 409: another request with this key is under way, or the object is locked.
    case 409, 429: return .again(answer.field("retry-after").flatMap(Self.seconds))
    // The outcome of a change is kept under its key, also this one: the same key brings it again.
    case 500... where request.method == .post: return .failure(.refused(status: answer.status))
    case 500...: return .again(answer.field("retry-after").flatMap(Self.seconds))
    default: return .failure(.refused(status: answer.status))
    }
  }

  /// `Retry-After` in seconds; a date is none.
  private static func seconds(_ text: [UInt8]) -> Int64? {
    guard (1...4).contains(text.count), text.allSatisfy({ (0x30...0x39).contains($0) }) else {
      return nil
    }
    return text.reduce(0) { $0 * 10 + Int64($1 - 0x30) }
  }
}

/// How calls of Stripe's API end.
enum CallOutcome: Int, MetricLabel {
  case good, again, missing, refused, keyRefused

  init(_ verdict: StripeAPI.Verdict) {
    switch verdict {
    case .good: self = .good
    case .again: self = .again
    case .failure(.missing): self = .missing
    case .failure(.keyRefused): self = .keyRefused
    case .failure: self = .refused
    }
  }

  var label: StaticString {
    switch self {
    case .good: "good"
    case .again: "again"
    case .missing: "missing"
    case .refused: "refused"
    case .keyRefused: "key_refused"
    }
  }
}
