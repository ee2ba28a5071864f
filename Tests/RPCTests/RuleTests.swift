// The rules of a conversation: who may greet whom in which version, who may make which call,
// which credentials may open the socket, how long to wait before trying again.

import Testing

@testable import RPC

@Suite("Greetings") struct GreetingTests {
  static func frame(
    service: String = "auth", build: String = "1", lowest: Int = 1, highest: Int = 1,
    extra: String = ""
  ) -> Frame {
    let text = """
      {"service":"\(service)","build":"\(build)","lowest":\(lowest),"highest":\(highest)\(extra)}
      """
    return Frame(version: 0, kind: .greeting, id: 0, payload: Array(text.utf8))
  }

  static func judge(_ frame: Frame, ours: ProtocolRange, expecting: Service? = nil)
    -> Result<UInt8, GreetingError>
  {
    do throws(GreetingError) {
      return .success(try Greeting.admit(frame, ours: ours, expecting: expecting).version)
    } catch { return .failure(error) }
  }

  static let versions: [(ours: (UInt8, UInt8), theirs: (Int, Int), agreed: UInt8?)] = [
    ((1, 1), (1, 1), 1),
    ((1, 2), (1, 1), 1),  // we are N+1, the peer is N
    ((1, 1), (1, 2), 1),  // the other way round
    ((1, 2), (2, 3), 2),  // N+1 talks with N+2
    ((1, 1), (2, 3), nil),  // N does not talk with N+2
    ((3, 3), (1, 2), nil),
    ((1, 1), (2, 1), nil),  // a range upside down
    ((1, 1), (0, 0), nil),  // version 0 is the greeting's own
  ]

  @Test("settle on the highest common version", arguments: versions)
  func version(row: (ours: (UInt8, UInt8), theirs: (Int, Int), agreed: UInt8?)) {
    let range = ProtocolRange(lowest: row.ours.0, highest: row.ours.1)
    let result = Self.judge(
      Self.frame(lowest: row.theirs.0, highest: row.theirs.1), ours: range)
    if let agreed = row.agreed {
      #expect(result == .success(agreed))
    } else {
      #expect(
        result
          == .failure(
            .noCommonVersion(lowest: UInt8(row.theirs.0), highest: UInt8(row.theirs.1))))
    }
  }

  @Test("ignore fields they do not know") func unknownField() {
    #expect(Self.judge(Self.frame(extra: #","mood":"good""#), ours: .current) == .success(1))
  }

  @Test("from the wrong or an unknown service are refused") func wrongService() {
    #expect(
      Self.judge(Self.frame(), ours: .current, expecting: .scheduler)
        == .failure(.wrongService(.auth, expected: .scheduler)))
    #expect(Self.judge(Self.frame(service: "root"), ours: .current) == .failure(.unknownService))
    #expect(
      Self.judge(Self.frame(build: String(repeating: "b", count: 65)), ours: .current)
        == .failure(.buildTooLong))
  }

  @Test("that are no greeting are refused") func notGreeting() {
    var frame = Self.frame()
    frame.payload = Array("{".utf8)
    #expect(Self.judge(frame, ours: .current) == .failure(.unreadable))
    frame = Self.frame(extra: #","service":"edge""#)
    #expect(Self.judge(frame, ours: .current) == .failure(.unreadable))  // two names at once
    frame.kind = .call
    #expect(Self.judge(frame, ours: .current) == .failure(.notAGreeting))
  }

  @Test("survive the trip") func roundTrip() throws {
    let frame = try Greeting(service: .edge, build: "0.1.0").frame()
    let introduction = try Greeting.admit(frame, expecting: .edge)
    #expect(introduction == Introduction(peer: .edge, build: "0.1.0", version: 1))
  }
}

@Suite("The caller table") struct CallerTableTests {
  static func judge(_ payload: [UInt8], _ peer: Service, _ service: Service)
    -> Result<IncomingCall, Refusal>
  {
    do throws(Refusal) {
      return .success(try CallFrame.admit(payload, from: peer, at: service))
    } catch { return .failure(error) }
  }

  @Test("lets exactly the named services call, for every call and pair") func everyPair() throws {
    for name in CallName.allCases {
      for peer in Service.allCases {
        for service in Service.allCases {
          let payload = try CallFrame.encode(name, request: Array("{}".utf8))
          let expected: Result<IncomingCall, Refusal> =
            !name.rule.answeredBy.contains(service)
            ? .failure(.unknownCall)
            : !name.rule.callers.contains(peer)
              ? .failure(.notAllowed)
              : .success(IncomingCall(name: name, request: Array("{}".utf8)[...]))
          let result = Self.judge(payload, peer, service)
          switch (result, expected) {
          case (.success(let call), .success(let wanted)):
            #expect(call.name == wanted.name && call.request.elementsEqual(wanted.request))
          default: #expect(result == expected, "\(name) \(peer) \(service)")
          }
        }
      }
    }
  }

  @Test("has shred for auth alone") func shred() throws {
    let payload = try CallFrame.encode(.shred, request: [])
    for peer in Service.allCases where peer != .auth {
      #expect(Self.judge(payload, peer, .scheduler) == .failure(.notAllowed))
    }
  }

  static let malformed: [([UInt8], Refusal)] = [
    ([], .malformedRequest),
    ([0], .malformedRequest),
    ([5, 0x73], .malformedRequest),  // the name runs past the end
    ([3] + Array("dig{}".utf8), .unknownCall),
    ([2, 0xFF, 0xFE], .unknownCall),  // not text
    ([6] + Array("STATUS".utf8), .unknownCall),  // names are bytes
  ]

  @Test("answers what it cannot read", arguments: malformed)
  func unreadable(payload: [UInt8], refusal: Refusal) {
    #expect(Self.judge(payload, .auth, .scheduler) == .failure(refusal))
  }

  @Test("reads refusals by name, also those of a newer build") func refusals() {
    for refusal in Refusal.allCases {
      #expect(CallFrame.refusal(Array(refusal.rawValue.utf8)) == refusal)
    }
    #expect(CallFrame.refusal(Array("moonphase".utf8)) == .other)
    #expect(CallFrame.refusal([]) == .other)
  }
}

@Suite("Peer policy") struct PeerPolicyTests {
  @Test("admits our user, root, and the run directory's group") func admits() {
    let policy = PeerPolicy(userID: 1_000, groupID: 2_000)
    #expect(policy.admits(userID: 1_000, groupID: 5))
    #expect(policy.admits(userID: 0, groupID: 5))
    #expect(policy.admits(userID: 7, groupID: 2_000))
    #expect(!policy.admits(userID: 7, groupID: 0))
    #expect(!policy.admits(userID: 65_534, groupID: 65_534))
  }

  @Test("never takes group 0 as a reason") func groupZero() {
    #expect(!PeerPolicy(userID: 1_000, groupID: 0).admits(userID: 7, groupID: 0))
  }
}

@Suite("Backoff") struct BackoffTests {
  @Test("doubles to two seconds and stays within its upper half") func growth() {
    var backoff = Backoff()
    var ceiling = Duration.milliseconds(20)
    for _ in 0..<20 {
      var low = backoff
      #expect(low.next(dice: 0) == ceiling / 2)
      let wait = backoff.next(dice: 999)
      #expect(wait > ceiling / 2 && wait < ceiling)
      ceiling = min(ceiling * 2, .seconds(2))
    }
    backoff.reset()
    #expect(backoff.next(dice: 0) == .milliseconds(10))
  }
}
