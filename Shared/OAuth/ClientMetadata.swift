// What a client says of itself when it registers with us (RFC 7591 section 2) or in a document at its
// own URL (Client ID Metadata Document). Read strictly; what we do not know is ignored, what we do
// not serve is refused or left out, never taken over.

import HTTPCodec
import Providers

/// A client's own words, as far as we take them.
public struct ClientMetadata: Sendable, Equatable {
  /// Why they are not taken.
  public enum Fault: Error, Equatable, Sendable {
    /// A redirect address is missing or is none that we send people to.
    case redirectURI
    /// Anything else.
    case metadata
  }

  /// The most redirect addresses of one client.
  public static let redirectURIsMax = 16
  /// The most bytes of a name.
  public static let nameBytesMax = 512

  /// What a document says that the client's id is; nil in a registration.
  public let clientID: String?
  /// A stranger's text.
  public let name: String?
  public let redirectURIs: [RedirectURI]
  public let authentication: OAuthRules.ClientAuthentication
  public let grantTypes: [String]

  /// Reads the body of a registration. Without a method a client proves itself by Basic.
  /// - Throws: `Fault`.
  public init(registration body: [UInt8]) throws(Fault) {
    try self.init(body, methodWhenAbsent: .basic)
  }

  /// Reads a document. Its client can not have a secret: nobody gave it one.
  /// - Throws: `Fault`.
  public init(document body: [UInt8]) throws(Fault) {
    try self.init(body, methodWhenAbsent: .none)
    guard authentication == .none, clientID != nil, name?.isEmpty == false else {
      throw .metadata
    }
  }

  private init(
    _ body: [UInt8], methodWhenAbsent: OAuthRules.ClientAuthentication
  ) throws(Fault) {
    do throws(DocumentFault) {
      let members = try MetadataDocument(reading: body)
      clientID = try members.text("client_id")
      name = try members.text("client_name")
      grantTypes = try members.texts("grant_types") ?? ["authorization_code"]
      let method = try members.text("token_endpoint_auth_method")
      if let method {
        guard let way = OAuthRules.ClientAuthentication(methodName: method) else {
          throw DocumentFault.malformed("token_endpoint_auth_method")
        }
        authentication = way
      } else {
        authentication = methodWhenAbsent
      }
      let responses = try members.texts("response_types") ?? ["code"]
      guard Self.has(grantTypes, "authorization_code"), Self.has(responses, "code"),
        !(members.has("jwks") && members.has("jwks_uri")),
        (name ?? "").utf8.count <= Self.nameBytesMax
      else { throw DocumentFault.malformed("grant_types") }
      guard let redirects = Self.redirectURIs(try members.texts("redirect_uris")) else {
        throw DocumentFault.malformed("redirect_uris")
      }
      redirectURIs = redirects
    } catch {
      throw error == .malformed("redirect_uris") ? Fault.redirectURI : Fault.metadata
    }
  }

  /// Nil when one of them is no redirect address.
  private static func redirectURIs(_ texts: [String]?) -> [RedirectURI]? {
    guard let texts, (1...redirectURIsMax).contains(texts.count) else { return nil }
    let read = texts.compactMap { RedirectURI($0) }
    return read.count == texts.count ? read : nil
  }

  private static func has(_ list: [String], _ word: String) -> Bool {
    list.contains { $0.utf8.elementsEqual(word.utf8) }
  }

  /// Whether the client says that it refreshes tokens.
  public var refreshes: Bool { Self.has(grantTypes, "refresh_token") }
}
