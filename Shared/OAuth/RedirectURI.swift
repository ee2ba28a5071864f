// Where may an authorization server of ours send a browser back to? An https URL, or http to a literal
// loopback host, as the client registered it, byte for byte. One thing may differ: the port of a
// loopback redirect, because a native client takes what the system gives it (RFC 8252 section 7.3).

import HTTPCodec

/// A redirect address of a client.
public struct RedirectURI: Sendable, Equatable {
  /// As the client wrote it.
  public let text: String
  /// The same, read.
  public let url: WebURL

  /// The address that `text` writes, or nil: no fragment, user name, wildcard or other scheme.
  public init?(_ text: String) {
    guard text.utf8.starts(with: "https://".utf8) || text.utf8.starts(with: "http://".utf8),
      let url = WebURL(text), url.isSecure
    else { return nil }
    self.text = text
    self.url = url
  }

  /// Whether the host is a loopback one: whoever listens there is a program on the person's machine.
  public var isLoopback: Bool { url.authority.isLoopback }

  /// Whether this is `registered`, but for the port of http to a loopback host.
  public func matches(_ registered: RedirectURI) -> Bool {
    if text.utf8.elementsEqual(registered.text.utf8) { return true }
    return url.scheme == .http && registered.url.scheme == .http && isLoopback
      && url.authority.host == registered.url.authority.host
      && rest.elementsEqual(registered.rest)
  }

  /// What follows the authority, as written.
  private var rest: Substring.UTF8View {
    text.utf8.dropFirst(url.scheme.name.utf8.count + 3)
      .drop { $0 != UInt8(ascii: "/") && $0 != UInt8(ascii: "?") }
  }

  /// The address with the parameters of an answer; what stands in its query stays.
  public func adding(_ parameters: [Form.Pair]) -> String {
    let separator = url.query == nil ? "?" : url.query?.isEmpty == true ? "" : "&"
    return "\(text)\(separator)\(Form(parameters).encoded)"
  }

  /// Both as written.
  public static func == (left: RedirectURI, right: RedirectURI) -> Bool {
    left.text.utf8.elementsEqual(right.text.utf8)
  }
}
