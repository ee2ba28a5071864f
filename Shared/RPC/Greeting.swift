// May these two processes talk, and in which version? Each side sends one greeting and reads
// one; the rules here are pure and the same on both sides. A greeting travels with frame
// version 0, whose layout never changes, so that any two builds can at least disagree cleanly.

/// The protocol versions a build can speak, lowest to highest.
public struct ProtocolRange: Equatable, Sendable {
  public let lowest: UInt8
  public let highest: UInt8

  public init(lowest: UInt8, highest: UInt8) {
    precondition(lowest >= 1 && lowest <= highest, "protocol range")
    self.lowest = lowest
    self.highest = highest
  }

  /// What this build speaks. A release raises `highest` by one at most and keeps the one
  /// before, so that services of neighbouring releases talk during an upgrade.
  public static let current = ProtocolRange(lowest: 1, highest: 1)
}

/// The first frame each side sends.
public struct Greeting: Codable, Equatable, Sendable {
  public var service: String
  public var build: String
  public var lowest: UInt8
  public var highest: UInt8

  public init(service: Service, build: String, range: ProtocolRange = .current) {
    self.service = service.rawValue
    self.build = build
    self.lowest = range.lowest
    self.highest = range.highest
  }
}

/// Why a greeting was not accepted.
public enum GreetingError: Error, Equatable, Sendable {
  case notAGreeting
  case unreadable
  case unknownService
  case wrongService(Service, expected: Service)
  case noCommonVersion(lowest: UInt8, highest: UInt8)
  case buildTooLong

  /// The case's name, for logs.
  public var label: StaticString {
    switch self {
    case .notAGreeting: "not_a_greeting"
    case .unreadable: "unreadable"
    case .unknownService: "unknown_service"
    case .wrongService: "wrong_service"
    case .noCommonVersion: "no_common_version"
    case .buildTooLong: "build_too_long"
    }
  }
}

/// What both sides know of each other after the greetings.
public struct Introduction: Equatable, Sendable {
  public let peer: Service
  public let build: String
  public let version: UInt8
}

extension Greeting {
  static let buildBytesMax = 64

  /// Judges the peer's first frame. A caller names the service it meant to reach; a listener
  /// takes any known one and leaves the rest to the caller table.
  public static func admit(
    _ frame: Frame, ours: ProtocolRange = .current, expecting: Service? = nil
  ) throws(GreetingError) -> Introduction {
    guard frame.kind == .greeting, frame.id == 0 else { throw .notAGreeting }
    guard let greeting = try? Payload.decode(Greeting.self, from: frame.payload[...]) else {
      throw .unreadable
    }
    guard let service = Service(rawValue: greeting.service) else { throw .unknownService }
    if let expecting, expecting != service {
      throw .wrongService(service, expected: expecting)
    }
    guard greeting.build.utf8.count <= buildBytesMax else { throw .buildTooLong }
    let version = min(ours.highest, greeting.highest)
    guard greeting.lowest <= greeting.highest, version >= max(ours.lowest, greeting.lowest),
      version >= 1
    else { throw .noCommonVersion(lowest: greeting.lowest, highest: greeting.highest) }
    return Introduction(peer: service, build: greeting.build, version: version)
  }

  /// The frame that carries this greeting.
  public func frame() throws(PayloadError) -> Frame {
    Frame(version: 0, kind: .greeting, id: 0, payload: try Payload.encode(self))
  }
}
