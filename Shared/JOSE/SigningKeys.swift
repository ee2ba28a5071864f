// Holds the keys that sign our tokens, reads and writes their file, and publishes the public
// halves. The file is a JWK set (RFC 7517) with private members, 0600, and its last key signs; the
// earlier ones verify until their tokens have run out. Reading the file from disk is the caller's.

import Bytes
import Clocks

/// A private key and its name.
public struct SigningKey: Sendable {
  /// The key's RFC 7638 thumbprint, in base64url.
  public let keyID: String
  public let privateKey: P256.PrivateKey

  /// `privateKey` under its own thumbprint.
  public init(_ privateKey: P256.PrivateKey) {
    self.privateKey = privateKey
    keyID = Self.thumbprint(privateKey.publicKey)
  }

  /// RFC 7638: SHA-256 of the required members in lexicographic order.
  static func thumbprint(_ key: P256.PublicKey) -> String {
    let members =
      #"{"crv":"P-256","kty":"EC","x":"\#(Base64URL.encode(key.x))","y":"\#(Base64URL.encode(key.y))"}"#
    return Base64URL.encode(SHA256Digest.of(Array(members.utf8)))
  }
}

/// The keys of this installation, oldest first; the last one signs.
public struct SigningKeys: Sendable {
  private let keys: [SigningKey]

  /// A set of at least one key, none of them twice.
  public init(_ keys: [SigningKey]) throws(JOSEError) {
    guard !keys.isEmpty else { throw .keyFileMalformed(entry: 0) }
    for (index, key) in keys.enumerated()
    where keys[..<index].contains(where: { $0.keyID == key.keyID }) {
      throw .keyFileMalformed(entry: index)
    }
    self.keys = keys
  }

  /// The key that signs.
  public var active: SigningKey { keys[keys.count - 1] }

  /// The public half called `keyID`.
  public func publicKey(_ keyID: String) -> P256.PublicKey? {
    keys.first { $0.keyID.utf8.elementsEqual(keyID.utf8) }?.privateKey.publicKey
  }

  /// The text of a key file that holds one fresh key.
  public static func generateFile() -> [UInt8] { file(of: [SigningKey(.generate())]) }

  /// The text of a key file with these keys and one fresh key behind them, which then signs.
  public func fileAddingKey() -> [UInt8] { Self.file(of: keys + [SigningKey(.generate())]) }

  /// The text of a key file without the `count` oldest keys; the one that signs always stays.
  public func file(droppingFirst count: Int) -> [UInt8] {
    Self.file(of: Array(keys[min(max(count, 0), keys.count - 1)...]))
  }

  private static func file(of keys: [SigningKey]) -> [UInt8] {
    var text = Array(#"{"keys":["#.utf8)
    for (index, key) in keys.enumerated() {
      if index > 0 { text.append(UInt8(ascii: ",")) }
      var scalar = key.privateKey.exportScalar()
      text += "\n  {\(publicMembers(key)),\"d\":\"".utf8
      text += Base64URL.encode(scalar).utf8
      text += "\"}".utf8
      scalar.withUnsafeMutableBytes { wipe($0) }
    }
    return text + "\n]}\n".utf8
  }

  /// The keys in the text of a key file.
  public init(file: [UInt8]) throws(JOSEError) {
    let set = try JSONMembers(parsing: file)
    guard case .objects(let entries)? = set["keys"] else { throw .keyFileMalformed(entry: 0) }
    var keys: [SigningKey] = []
    for (index, entry) in entries.enumerated() {
      guard let key = Self.key(entry) else { throw .keyFileMalformed(entry: index) }
      keys.append(key)
    }
    try self.init(keys)
  }

  private static func key(_ entry: JSONMembers) -> SigningKey? {
    guard let publicKey = try? P256.PublicKey(jwk: entry),
      var d = entry.string("d").flatMap({ Base64URL.decode($0) })
    else { return nil }
    defer { d.withUnsafeMutableBytes { wipe($0) } }
    guard let privateKey = try? P256.PrivateKey(scalar: d, publicKey: publicKey) else {
      return nil
    }
    let key = SigningKey(privateKey)
    guard entry["kid"] == nil || entry["kid"] == .string(key.keyID) else { return nil }
    return key
  }

  /// The JWK set that `/.well-known/jwks.json` answers with: public members alone.
  public var publicSet: [UInt8] {
    let entries = keys.map { "{\(Self.publicMembers($0))}" }.joined(separator: ",")
    return Array(#"{"keys":[\#(entries)]}"#.utf8)
  }

  private static func publicMembers(_ key: SigningKey) -> String {
    let publicKey = key.privateKey.publicKey
    return #""kty":"EC","crv":"P-256","use":"sig","alg":"ES256","kid":"\#(key.keyID)","#
      + #""x":"\#(Base64URL.encode(publicKey.x))","y":"\#(Base64URL.encode(publicKey.y))""#
  }

  /// A token of `type` with `claims`, signed by the active key.
  public func sign(_ claims: Claims, type: TokenType) -> String {
    // What an access token opens hangs on its being unknown: 256 bits of it are chance.
    let tokenID = Base64URL.encode(Randomness.bytes(count: type == .access ? 32 : 16))
    return CompactJWS.sign(claims.encode(tokenID: tokenID), type: type, by: active)
  }

  /// The claims of `text`, when it is a token of `type` that one of these keys signed and that
  /// meets `expectation` at `now`.
  public func verify(
    _ text: String, type: TokenType, expectation: Claims.Expectation, now: UnixTime
  ) throws(JOSEError) -> Claims {
    try CompactJWS.verify(text, type: type, expectation: expectation, now: now) { publicKey($0) }
  }

  /// The public halves with their names, the one that signs last.
  public var publicKeys: [(keyID: String, key: P256.PublicKey)] {
    keys.map { ($0.keyID, $0.privateKey.publicKey) }
  }
}

extension CompactJWS {
  /// The claims of `text`, when it is a token of `type` that meets `expectation` at `now` and that
  /// the key signed which `find` has under its name.
  public static func verify(
    _ text: String, type: TokenType, expectation: Claims.Expectation, now: UnixTime,
    key find: (String) -> P256.PublicKey?
  ) throws(JOSEError) -> Claims {
    let parts = try CompactJWS.Parts(parsing: text)
    guard parts.header.type.map({ $0.utf8.elementsEqual(type.rawValue.utf8) }) == true else {
      throw .typeRefused
    }
    guard let key = parts.header.keyID.flatMap({ find($0) }) else { throw .keyUnknown }
    return try Claims(checking: parts.verified(by: key), against: expectation, now: now)
  }
}
