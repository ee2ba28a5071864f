// The measurements of storage-cost, each the best of five runs. Prints and judges nothing: what a
// machine gives depends on its disk and its other work.

import Bytes
import Clocks
import Database
import Glibc
import Vault

enum StorageCost {
  final class Holder {
    let credential = CredentialSecret.random()
    let dataKey = DataKey.random()
  }

  static let connection = "11111111-2222-4333-8444-555555555555"
  static let owner = "99999999-8888-4777-8666-555555555555"

  static func measure(in folder: String) -> Int32 {
    let path = "\(folder)/storage-cost.\(getpid())"
    guard mkdir(path, 0o770) == 0 else { return 1 }
    defer {
      for kind in ["bindery", "tokens"] {
        for suffix in ["", "-wal", "-shm"] { unlink("\(path)/\(kind).sqlite\(suffix)") }
      }
      unlink("\(path)/migrate.lock")
      rmdir(path)
    }
    do throws(DatabaseError) {
      _ = try MigrationRunner(directory: path).run()
      sealing()
      try reading(in: path)
      try committing(in: path)
      return 0
    } catch {
      puts("failed: \(error)")
      return 1
    }
  }

  private static func sealing() {
    let engine = SealEngine()
    let holder = Holder()
    let text = Array(holder.credential.makeText().utf8)
    let held = SealContext.credentialWrap(
      credential: owner, connection: connection, owner: owner)
    let place = SealContext.tokenBlob(connection: connection, owner: owner, generation: 1)
    let wrap = engine.wrap(holder.dataKey, under: holder.credential, context: held)
    let plain = Randomness.bytes(count: 400)
    let blob = plain.withUnsafeBytes {
      engine.seal($0, under: holder.dataKey, context: place)
    }
    let parse = nanoseconds(200_000) {
      text.withUnsafeBytes { CredentialSecret(text: $0, hashing: engine.hashing) != nil }
    }
    let placedWrap = PlacedValue(wrap, at: held)
    let unwrap = nanoseconds(200_000) {
      let key = try? engine.unwrap(placedWrap, with: holder.credential)
      return key != nil
    }
    let placedBlob = PlacedValue(blob, at: place)
    let open = nanoseconds(200_000) {
      let count: Int? = try? engine.open(placedBlob, under: holder.dataKey) {
        plain throws(SealError) in plain.count
      }
      return count == 400
    }
    let tag = nanoseconds(200_000) {
      text.withUnsafeBytes {
        engine.sessionTag(of: $0, under: holder.dataKey).text.isEmpty == false
      }
    }
    let seal = nanoseconds(50_000) {
      plain.withUnsafeBytes {
        engine.seal($0, under: holder.dataKey, context: place).count > 0
      }
    }
    puts("parse and lookup       \(parse) ns")
    puts("unwrap a data key      \(unwrap) ns")
    puts("open a 400-byte token  \(open) ns")
    puts("together               \(parse + unwrap + open) ns")
    puts("seal a 400-byte token  \(seal) ns")
    puts("tag a session id       \(tag) ns")
  }

  private static func reading(in path: String) throws(DatabaseError) {
    let file = DatabaseFile(.tokens, in: path)
    let database = try Connection(file, as: .auth)
    let store = TokenStore(database)
    var names: [String] = []
    try database.transaction { () throws(DatabaseError) in
      for number in 0..<20_000 {
        let digits = String(number)
        let name = String(repeating: "0", count: 36 - digits.count) + digits
        names.append(name)
        try insert(name, into: store)
      }
    }
    let pair = try Checkpointer(file, every: .milliseconds(10))
    while file.logBytes > 10_000 { usleep(1000) }
    pair.stop()
    var next = 0
    let read = nanoseconds(20_000) {
      next = (next + 7919) % names.count
      let found: Int?? = try? store.withBlob(of: names[next]) {
        (_, _, sealed) throws(DatabaseError) in sealed.count
      }
      return found == 570
    }
    let again = nanoseconds(20_000) {
      next = (next + 1) % 500
      let found: Int?? = try? store.withBlob(of: names[next]) {
        (_, _, sealed) throws(DatabaseError) in sealed.count
      }
      return found == 570
    }
    puts("read a blob of 20,000  \(read) ns")
    puts("read one of 500 hot    \(again) ns")
  }

  private static func insert(_ name: String, into store: TokenStore) throws(DatabaseError) {
    do {
      try store.insert(
        TokenBlob(generation: 1, sealed: Randomness.bytes(count: 570), expiresAt: nil), of: name,
        at: UnixTime(seconds: 1))
    } catch .database(let error) {
      throw error
    } catch {
      throw .busy
    }
  }

  private static func committing(in path: String) throws(DatabaseError) {
    let file = DatabaseFile(.tokens, in: path)
    let database = try Connection(file, as: .auth)
    let store = TokenStore(database)
    let name = connection
    try store.shred(name)
    try insert(name, into: store)
    var generation: UInt64 = 1
    let step = {
      generation += 1
      let blob = TokenBlob(
        generation: generation, sealed: Randomness.bytes(count: 570), expiresAt: nil)
      return (try? store.replace(with: blob, of: name, at: UnixTime(seconds: 1))) != nil
    }
    let alone = elapsed(500, step)
    let checkpointer = try Checkpointer(file)
    var guarded: [Duration] = []
    var last = checkpointer.current.last
    let beside = elapsed(2000) {
      let report = checkpointer.current.last
      if report != last, report.guarded > .zero { guarded.append(report.guarded) }
      last = report
      return step()
    }
    checkpointer.stop()
    guarded.sort()
    puts("commit, no checkpoints \(alone / 1000) µs, \(1_000_000_000 / max(alone, 1)) a second")
    puts("commit, checkpointed   \(beside / 1000) µs, \(1_000_000_000 / max(beside, 1)) a second")
    if let longest = guarded.last {
      puts("writers held off       median \(guarded[guarded.count / 2]), longest \(longest)")
    }
    puts("log at the end         \(file.logBytes) bytes")
  }

  /// Nanoseconds of processor time a call, the best of five runs: a busy machine shows less.
  private static func nanoseconds(_ rounds: Int, _ body: () -> Bool) -> Int64 {
    best(rounds, CLOCK_THREAD_CPUTIME_ID, body)
  }

  /// Nanoseconds a call, waiting included.
  private static func elapsed(_ rounds: Int, _ body: () -> Bool) -> Int64 {
    best(rounds, CLOCK_MONOTONIC, body)
  }

  private static func best(_ rounds: Int, _ clock: clockid_t, _ body: () -> Bool) -> Int64 {
    var best = Int64.max
    for _ in 0..<5 {
      let start = read(clock)
      var good = 0
      for _ in 0..<rounds where body() { good += 1 }
      precondition(good == rounds, "a measured call failed")
      best = min(best, (read(clock) - start) / Int64(rounds))
    }
    return best
  }

  private static func read(_ clock: clockid_t) -> Int64 {
    var time = timespec()
    clock_gettime(clock, &time)
    return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
  }
}
