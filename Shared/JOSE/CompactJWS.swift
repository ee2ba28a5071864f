// Reads compact JWS (RFC 7515 section 3.1) for ES256 and RS256, and writes it for ES256. The algorithm belongs to the key,
// never to the token: a header that names another, or that brings its own key, changes the encoding
// or asks for extensions, is refused before any signature is looked at (RFC 8725).

import Bytes

/// A signed token whose signature has not been believed yet, or has.
public enum CompactJWS {
  /// The longest token that is read at all.
  public static let textBytesMax = 8192

  /// What a token is signed with; the reader names it, the token can only agree.
  public enum Algorithm: String, Sendable {
    /// ECDSA over P-256: our own tokens.
    case es256 = "ES256"
    /// RSA, PKCS #1 v1.5: tokens of Clerk.
    case rs256 = "RS256"
  }

  /// A header that passed every rule, and where its key is to be found.
  public struct Header: Sendable {
    /// The key's identifier: only ever a name to look up.
    public let keyID: String?
    /// The kind of token.
    public let type: String?
  }

  /// The three parts of a token, decoded and not yet verified.
  public struct Parts: Sendable {
    /// What the header says.
    public let header: Header
    /// The bytes that were signed; read them only after `verified(by:)`.
    private let payload: [UInt8]
    private let signingInput: [UInt8]
    private let signature: [UInt8]
    private let algorithm: Algorithm

    /// Splits and decodes `text`, a token of `algorithm`.
    public init(parsing text: String, algorithm: Algorithm = .es256) throws(JOSEError) {
      let bytes = Array(text.utf8)
      guard bytes.count <= textBytesMax else { throw .notCompact }
      let dots = bytes.indices.filter { bytes[$0] == UInt8(ascii: ".") }
      guard dots.count == 2 else { throw .notCompact }
      let decode = { (range: Range<Int>) throws(JOSEError) -> [UInt8] in
        let part = bytes[range].withUnsafeBytes { Base64URL.decode($0) }
        guard let part else { throw .notCompact }
        return part
      }
      let head = try decode(0..<dots[0])
      payload = try decode(dots[0] + 1..<dots[1])
      signature = try decode(dots[1] + 1..<bytes.count)
      signingInput = Array(bytes[0..<dots[1]])
      self.algorithm = algorithm
      header = try Self.header(JSONMembers(parsing: head), algorithm)
    }

    private static func header(
      _ members: JSONMembers, _ algorithm: Algorithm
    ) throws(JOSEError) -> Header {
      let name = members.string("alg")
      guard name.map({ $0.utf8.elementsEqual(algorithm.rawValue.utf8) }) == true else {
        throw .algorithmRefused
      }
      let forbidden: [StaticString] = [
        "jwk", "jku", "x5u", "x5c", "x5t", "x5t#S256", "crit", "b64", "zip",
      ]
      for name in forbidden where members[name] != nil { throw .headerRefused }
      return Header(
        keyID: try optional("kid", in: members), type: try optional("typ", in: members))
    }

    private static func optional(
      _ name: StaticString, in members: JSONMembers
    ) throws(JOSEError) -> String? {
      guard let value = members[name] else { return nil }
      guard case .string(let text) = value, text.utf8.count <= 256 else { throw .headerRefused }
      return text
    }

    /// The payload, once `key` has been found to have signed it.
    public func verified(by key: P256.PublicKey) throws(JOSEError) -> [UInt8] {
      guard algorithm == .es256, key.verifies(signature, over: signingInput) else {
        throw .signatureWrong
      }
      return payload
    }

    /// The payload, once `key` has been found to have signed it.
    public func verified(by key: RSA.PublicKey) throws(JOSEError) -> [UInt8] {
      guard algorithm == .rs256, key.verifies(signature, over: signingInput) else {
        throw .signatureWrong
      }
      return payload
    }
  }

  /// The compact form of `payload`, signed by `key` under the name `keyID`, of kind `type`.
  public static func sign(_ payload: [UInt8], type: TokenType, by key: SigningKey) -> String {
    let header = #"{"alg":"ES256","kid":"\#(key.keyID)","typ":"\#(type.rawValue)"}"#
    let input = Base64URL.encode(Array(header.utf8)) + "." + Base64URL.encode(payload)
    return input + "." + Base64URL.encode(key.privateKey.sign(Array(input.utf8)))
  }
}
