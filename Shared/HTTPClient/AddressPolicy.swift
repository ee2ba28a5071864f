// Where may a request go? What the operator named may be anywhere. What a stranger named (a metadata
// document, a challenge, a client) may only be a public address under https: a URL is an easy way to
// make a server knock at doors inside of its own network. Decided on the addresses that the name
// resolved to, and the connection goes to exactly those: nothing is resolved a second time.

import HTTPCodec
import Posix

/// Which addresses a request may go to, by who named its URL.
public enum AddressPolicy: Sendable, Equatable {
  /// The operator's settings or catalogue named it: any address, https or not.
  case operatorNamed
  /// It came from outside: https to public addresses, and, with `allowsLoopback`, whatever is on a
  /// literal loopback host (for installations that live on one machine).
  case strangerNamed(allowsLoopback: Bool)

  /// The most bytes of a document that a stranger named.
  public static let documentBytesMax = 1 << 20
  /// How long a document that a stranger named may take, all in all.
  public static let documentPatience = Duration.seconds(10)
}

/// Why a request that a stranger asked for is not sent.
public enum AddressRefusal: Sendable, Equatable {
  /// Plain http, or no TCP at all.
  case insecure
  /// A port that belongs to another protocol.
  case port
  /// The host is, or resolves also to, an address that is not public.
  case specialUse
}

extension AddressPolicy {
  /// What is wrong with `origin` before its name is resolved; nil when nothing is.
  public func refusal(of origin: Origin) -> AddressRefusal? {
    guard case .strangerNamed(let allowsLoopback) = self else { return nil }
    if origin.isUnix { return .insecure }
    if allowsLoopback && origin.isLoopback { return nil }
    guard origin.isSecure else { return .insecure }
    // Below 1024 live the protocols that a forged request could be meant for; above are the ports
    // of self-hosted servers, and TLS asks for the host's certificate before we say a word.
    guard origin.port == 443 || origin.port >= 1024 else { return .port }
    let isSpecial = IPAddress(origin.host)?.isSpecialUse ?? origin.isLoopback
    return isSpecial ? .specialUse : nil
  }

  /// What is wrong with `targets`, to which `origin` resolved; nil when nothing is. One bad address
  /// among good ones spoils all: whose turn comes first is for the name's owner to say.
  public func refusal(of targets: [SocketAddress], for origin: Origin) -> AddressRefusal? {
    guard case .strangerNamed(let allowsLoopback) = self else { return nil }
    let mayBeLoopback = allowsLoopback && origin.isLoopback
    let isGood = targets.allSatisfy { target in
      guard case .ip(let address, _) = target else { return false }
      return mayBeLoopback ? address.isLoopback : !address.isSpecialUse
    }
    return isGood ? nil : .specialUse
  }
}

extension Origin {
  /// Whether the host is `localhost` or a literal loopback address.
  public var isLoopback: Bool {
    !isUnix && (host.utf8.elementsEqual("localhost".utf8) || IPAddress(host)?.isLoopback == true)
  }
}
