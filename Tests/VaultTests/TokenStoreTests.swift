// Answers what the token store promises: one writer wins a generation, and what was deleted or
// replaced leaves no byte in database and log.

import Clocks
import Glibc
import Testing

@testable import Database
@testable import Vault

@Suite("Token store") struct TokenStoreTests {
  let place: Place
  let now = UnixTime(seconds: 1_800_000_000)

  init() throws { place = try Place() }

  private func blob(_ generation: UInt64, bytes: Int = 314) -> TokenBlob {
    TokenBlob(
      generation: generation, sealed: Randomness.bytes(count: bytes),
      expiresAt: UnixTime(seconds: 1_900_000_000), updatedAt: now)
  }

  @Test("gives back what it stored") func reading() throws {
    let store = TokenStore(try place.tokens())
    let first = blob(1)
    try store.insert(first, of: Place.identifier(), at: now)
    let connection = Place.identifier()
    #expect(try store.blob(of: connection) == nil)
    try store.insert(first, of: connection, at: now)
    #expect(try store.blob(of: connection) == first)
    let lent = try store.withBlob(of: connection) {
      (generation, end, sealed) throws(DatabaseError) in
      TokenBlob(
        generation: generation, sealed: [UInt8](sealed), expiresAt: end, updatedAt: now)
    }
    #expect(lent == first)
    #expect(try store.shred(connection))
    #expect(try !store.shred(connection))
    #expect(try store.blob(of: connection) == nil)
  }

  @Test("writes a generation only over the one before") func compareAndSwap() throws {
    let store = TokenStore(try place.tokens())
    let connection = Place.identifier()
    #expect(throws: TokenStoreError.generationMoved) {
      try store.replace(with: blob(2), of: connection, at: now)
    }
    try store.insert(blob(1), of: connection, at: now)
    #expect(throws: TokenStoreError.generationMoved) {
      try store.insert(blob(1), of: connection, at: now)
    }
    let second = blob(2)
    try store.replace(with: second, of: connection, at: now)
    for late: UInt64 in [2, 4] {
      #expect(throws: TokenStoreError.generationMoved) {
        try store.replace(with: blob(late), of: connection, at: now)
      }
    }
    #expect(try store.blob(of: connection) == second)
  }

  @Test("lets exactly one of many writers win each generation") func race() async throws {
    let connection = Place.identifier()
    try TokenStore(try place.tokens()).insert(blob(1), of: connection, at: now)
    let path = place.path
    let wins = try await withThrowingTaskGroup(of: Int.self) { group in
      for _ in 0..<4 {
        group.addTask {
          let thread = try DatabaseThread(
            DatabaseFile(.tokens, in: path), as: .scheduler, patience: .seconds(30))
          var wins = 0
          for generation in 2...51 as ClosedRange<UInt64> {
            do {
              try await thread.run { (database) throws(TokenStoreError) in
                let blob = TokenBlob(
                  generation: generation, sealed: Randomness.bytes(count: 314), expiresAt: nil)
                try TokenStore(database).replace(
                  with: blob, of: connection, at: UnixTime(seconds: 1))
              }
              wins += 1
            } catch TokenStoreError.generationMoved {
              continue
            }
          }
          return wins
        }
      }
      return try await group.reduce(0, +)
    }
    #expect(wins == 50)
    #expect(try TokenStore(try place.tokens()).blob(of: connection)?.generation == 51)
  }

  @Test("leaves no byte of what was deleted or replaced", arguments: 0..<3)
  func shredding(run: Int) throws {
    let file = DatabaseFile(.tokens, in: place.path)
    let pair = try CheckpointPair(file)
    let connection = try place.tokens()
    let store = TokenStore(connection)
    var live: [String: TokenBlob] = [:]
    var gone: [[UInt8]] = []
    let lengths = [314, 314, 570, 570, 570, 826, 1082, 1338, 4154]
    for round in 0..<40 {
      try connection.transaction { () throws(TokenStoreError) in
        for _ in 0..<60 {
          let id = Place.identifier()
          let fresh = blob(1, bytes: lengths[Int(Randomness.uint64() % 9)])
          try store.insert(fresh, of: id, at: now)
          live[id] = fresh
          guard let victim = live.keys.randomElement(), let old = live[victim] else { continue }
          if Randomness.uint64() % 3 > 0 {
            live[victim] = nil
            do throws(DatabaseError) { try store.shred(victim) } catch {
              throw TokenStoreError(error)
            }
          } else {
            let next = blob(old.generation + 1, bytes: lengths[Int(Randomness.uint64() % 9)])
            try store.replace(with: next, of: victim, at: now)
            live[victim] = next
          }
          gone.append(old.sealed)
        }
      }
      if round % 7 == 0 { _ = try pair.round() }
    }
    var rounds = 0
    while try !pair.round().restarted, rounds < 5 { rounds += 1 }
    #expect(rounds <= 2 && file.logBytes < 2048)
    let windows = Self.windows(place.bytes("tokens.sqlite") + place.bytes("tokens.sqlite-wal"))
    let left = gone.filter { Self.contains(windows, anyPieceOf: $0) }
    #expect(left.isEmpty, "\(left.count) of \(gone.count) left bytes behind")
    let kept = live.values.filter { Self.contains(windows, anyPieceOf: $0.sealed) }
    #expect(kept.count == live.count, "the search finds what is there")
  }

  /// Every 8 bytes in `bytes`, to look pieces of random blobs up in.
  private static func windows(_ bytes: [UInt8]) -> Set<UInt64> {
    var windows: Set<UInt64> = []
    windows.reserveCapacity(bytes.count)
    var word: UInt64 = 0
    for byte in bytes {
      word = word << 8 | UInt64(byte)
      windows.insert(word)
    }
    return windows
  }

  /// Whether any 8 bytes of `blob`, from its first on, occur.
  private static func contains(_ windows: Set<UInt64>, anyPieceOf blob: [UInt8]) -> Bool {
    stride(from: 0, through: blob.count - 8, by: 8).contains { start in
      windows.contains(blob[start..<start + 8].reduce(0) { $0 << 8 | UInt64($1) })
    }
  }
}
