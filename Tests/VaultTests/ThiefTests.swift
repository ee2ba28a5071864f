// Plays the thief: with both databases, their logs, the environment and every master key, tries to
// open what is stored. Zero-knowledge rows must stay shut; managed rows must open with their own
// master key and no other. The thief reads the files without our code and tries every 32 bytes in
// them as a key.

import Bytes
import CSQLite
import Clocks
import Database
import Glibc
import Testing

@testable import Vault

@Suite("Thief") struct ThiefTests {
  /// One stored connection and the secrets that only its owner has.
  final class Stored {
    let connection = Place.identifier()
    let owner = Place.identifier()
    let credential = Place.identifier()
    let secret = CredentialSecret.random()
    let dataKey = DataKey.random()
    let isManaged: Bool
    var wrap: [UInt8] = []
    var managedWrap: [UInt8]?
    var blob: [UInt8] = []

    init(isManaged: Bool) { self.isManaged = isManaged }

    var held: SealContext {
      .credentialWrap(credential: credential, connection: connection, owner: owner)
    }
    var kept: SealContext { .managedWrap(connection: connection, owner: owner) }
    var sealed: SealContext { .tokenBlob(connection: connection, owner: owner, generation: 1) }
  }

  let place: Place
  let engine = SealEngine()
  let ring: KeyRing
  let rows: [Stored]
  static let token = #"{"access_token":"canary-at","refresh_token":"canary-rt"}"#

  init() throws {
    place = try Place()
    ring = try SealingTests.ring(3)
    rows = (0..<200).map { Stored(isManaged: $0 % 2 == 1) }
    let accounts = try Connection(DatabaseFile(.bindery, in: place.path), as: .auth)
    let tokens = try Connection(DatabaseFile(.tokens, in: place.path), as: .auth)
    try accounts.transaction { () throws(DatabaseError) in
      for row in rows { try store(row, in: accounts) }
    }
    try tokens.transaction { () throws(TokenStoreError) in
      for row in rows {
        row.blob = raw(Array(Self.token.utf8)) {
          engine.seal($0, under: row.dataKey, context: row.sealed)
        }
        try TokenStore(tokens).insert(
          TokenBlob(generation: 1, sealed: row.blob, expiresAt: nil), of: row.connection,
          at: UnixTime(seconds: 1))
      }
    }
  }

  private func store(_ row: Stored, in accounts: Connection) throws(DatabaseError) {
    row.wrap = engine.wrap(row.dataKey, under: row.secret, context: row.held)
    if row.isManaged {
      row.managedWrap = engine.wrap(row.dataKey, under: ring, context: row.kept)
    }
    try accounts.execute(
      "INSERT INTO users (id, email, email_key, created_at) VALUES (?, ?, ?, 1)",
      .text(row.owner), .text(row.owner), .text(row.owner))
    try accounts.execute(
      """
      INSERT INTO connections (id, user_id, service, label, status, auth_type, key_storage_mode,
        created_at, managed_wrap, managed_fingerprint)
      VALUES (?, ?, 's', 'l', 'active', 'api_key', ?, 1, ?, ?)
      """,
      .text(row.connection), .text(row.owner), .text(row.isManaged ? "managed" : "zero_knowledge"),
      .optional(row.managedWrap),
      .optional(row.isManaged ? ring.active.fingerprint.description : nil))
    try accounts.execute(
      """
      INSERT INTO credentials (id, connection_id, name, lookup, wrap, created_at)
      VALUES (?, ?, 'n', ?, ?, 1)
      """,
      .text(row.credential), .text(row.connection), .blob(row.secret.lookup.bytes),
      .blob(row.wrap))
  }

  /// All bytes a thief of the disk has.
  private func loot() -> [UInt8] {
    ["bindery.sqlite", "bindery.sqlite-wal", "tokens.sqlite", "tokens.sqlite-wal"]
      .flatMap { place.bytes($0) }
  }

  private func opens(
    _ sealed: [UInt8], _ mode: SealedValue.Mode, _ context: SealContext,
    key: UnsafeRawBufferPointer, fingerprint: KeyFingerprint
  ) -> Bool {
    do throws(SealError) {
      let value = PlacedValue(sealed, at: context)
      try engine.open(value, mode: mode, fingerprint: fingerprint, key: key) {
        _ throws(SealError) in
      }
      return true
    } catch {
      return false
    }
  }

  /// Keys that the thief holds or can guess from what it holds.
  private func guesses() -> [[UInt8]] {
    var guesses: [[UInt8]] = [[UInt8](repeating: 0, count: 32)]
    for key in ring.keys {
      let bytes = key.secret.withBytes { [UInt8]($0) }
      guesses += [bytes, Array(Hex.encode(bytes).utf8), Digest256(of: bytes).bytes]
      guesses.append(Digest256(of: Array(Hex.encode(bytes).utf8)).bytes)
    }
    for row in rows {
      guesses += [row.secret.lookup.bytes, Digest256(of: row.secret.lookup.bytes).bytes]
      guesses += [Array(row.connection.utf8), Array(row.owner.utf8)]
    }
    var variable = environ
    while let text = variable.pointee {
      guesses.append(Array(String(cString: text).utf8))
      variable += 1
    }
    return guesses
  }

  @Test("opens no zero-knowledge row with any key it holds or can derive") func guessing() throws {
    let guesses = guesses()
    let fingerprints = [KeyFingerprint.zero] + ring.keys.map(\.fingerprint)
    var opened = 0
    for row in rows where !row.isManaged {
      #expect(row.managedWrap == nil)
      for guess in guesses {
        raw(guess) { key in
          if opens(row.wrap, .clientHeld, row.held, key: key, fingerprint: .zero) { opened += 1 }
          if opens(row.blob, .dataKey, row.sealed, key: key, fingerprint: .zero) { opened += 1 }
          for fingerprint in fingerprints.dropFirst()
          where opens(row.wrap, .managed, row.held, key: key, fingerprint: fingerprint) {
            opened += 1
          }
        }
      }
    }
    #expect(opened == 0)
    // The same attempt with the one right key, or the zero above would mean nothing.
    for row in rows {
      let right = row.secret.withKeyHalf {
        opens(row.wrap, .clientHeld, row.held, key: $0, fingerprint: .zero)
      }
      #expect(right)
    }
  }

  @Test("opens none with any 32 bytes of the files") func searching() throws {
    let loot = loot()
    #expect(loot.count > 200_000)
    let target = try #require(rows.first { !$0.isManaged })
    var opened = 0
    // Files and logs hold everything twice or more; every offset of what differs is tried.
    var tried: Set<[UInt8]> = []
    for start in stride(from: 0, to: loot.count - 32, by: 512) {
      let block = Array(loot[start..<min(start + 544, loot.count)])
      guard tried.insert(block).inserted else { continue }
      raw(block) { bytes in
        for offset in 0..<max(0, bytes.count - 32) {
          let key = UnsafeRawBufferPointer(rebasing: bytes[offset..<offset + 32])
          if opens(target.wrap, .clientHeld, target.held, key: key, fingerprint: .zero) {
            opened += 1
          }
        }
      }
    }
    #expect(opened == 0)
  }

  @Test("finds neither half of a secret, no token and no data key in the files") func canaries() {
    let loot = loot()
    var words: Set<UInt64> = []
    var word: UInt64 = 0
    for byte in loot {
      word = word << 8 | UInt64(byte)
      words.insert(word)
    }
    func holds(_ bytes: [UInt8]) -> Bool {
      words.contains(bytes.prefix(8).reduce(0) { $0 << 8 | UInt64($1) })
    }
    for row in rows {
      let halves = [
        row.secret.withLookupHalf { [UInt8]($0) },
        row.secret.withKeyHalf { [UInt8]($0) }, row.dataKey.secret.withBytes { [UInt8]($0) },
      ]
      for half in halves {
        #expect(!holds(half))
        #expect(!holds(Digest256(of: half).bytes) || half == halves[0], "a hash of the key half")
        #expect(!holds(Array(Hex.encode(half).utf8)))
        #expect(!holds(Array(Base64URL.encode(half).utf8)))
      }
      #expect(holds(row.secret.lookup.bytes) && holds(Array(row.wrap[10...])), "the search works")
    }
    #expect(!holds(Array("canary-at".utf8)) && !holds(Array("canary-rt".utf8)))
  }

  @Test("opens managed rows with the right master key only") func managed() throws {
    for row in rows where row.isManaged {
      let wrap = try #require(row.managedWrap)
      let key = try raw(wrap) { (wrap) throws(SealError) in
        try engine.unwrap(wrap, with: ring, context: row.kept)
      }
      let token = try raw(row.blob) { (blob) throws(SealError) in
        try engine.open(blob, under: key, context: row.sealed) { (plain) throws(SealError) in
          [UInt8](plain)
        }
      }
      #expect(token == Array(Self.token.utf8))
      for master in ring.keys where master !== ring.active {
        for fingerprint in [master.fingerprint, ring.active.fingerprint] {
          let opened = master.secret.withBytes {
            opens(wrap, .managed, row.kept, key: $0, fingerprint: fingerprint)
          }
          #expect(!opened)
        }
      }
    }
  }

  @Test("gains nothing by swapping any two of the stored values, of one kind or two")
  func swapping() throws {
    let values = rows.flatMap { [$0.wrap, $0.blob] } + rows.compactMap(\.managedWrap)
    #expect(values.count == 500 && Set(values).count == 500)
    let master = ring.active.fingerprint
    var opened = 0
    var own = 0
    for row in rows {
      /// Puts every stored value into a place of this row, under the key that opens the place.
      func place(
        _ held: [UInt8]?, _ mode: SealedValue.Mode, _ context: SealContext,
        _ fingerprint: KeyFingerprint, _ key: UnsafeRawBufferPointer
      ) {
        for value in values
        where opens(value, mode, context, key: key, fingerprint: fingerprint) {
          if value == held { own += 1 } else { opened += 1 }
        }
      }
      row.secret.withKeyHalf { place(row.wrap, .clientHeld, row.held, .zero, $0) }
      row.dataKey.secret.withBytes { place(row.blob, .dataKey, row.sealed, .zero, $0) }
      // Managed wraps share one key: only their place keeps them apart.
      guard row.isManaged else { continue }
      ring.active.secret.withBytes { place(row.managedWrap, .managed, row.kept, master, $0) }
    }
    #expect(opened == 0 && own == 500)
  }
}
