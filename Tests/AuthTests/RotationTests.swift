// Whether auth brings all managed connections under the active key: past rows that do not open, over
// a restart in the middle, held and slowed down, beside revocations; and when it takes other keys.

import Accounts
import Bytes
import Clocks
import Configuration
import Database
import Glibc
import JOSE
import Logging
import Metrics
import Posix
import RPC
import Synchronization
import Testing
import Vault

@testable import bindery_auth

/// Databases, a key file and what works on them, for one test.
final class RotationRig: Sendable {
  let folder: String
  let thread: DatabaseThread
  let accounts: SQLiteAccounts
  let keys: KeyAgent
  let rotator: KeyRotator
  let reload: KeyReload
  let calls: KeyCalls
  let metrics = MetricRegistry()
  /// What runs between two pages, and how long it should have taken.
  final class Rests: Sendable {
    /// Whether the rotator begins by itself, or only when a test runs it.
    let works: Bool
    init(works: Bool) { self.works = works }
    let body = Mutex<@Sendable () async -> Void>({})
    let durations = Mutex<[Duration]>([])
  }
  let rests: Rests

  static let keys = ["a1", "b2", "c3"].map { String(repeating: $0, count: 32) }

  init(_ held: [Int] = [0], works: Bool = false) throws {
    rests = Rests(works: works)
    var template = Array("/tmp/bindery-rotation-XXXXXX".utf8CString)
    let folder = try #require(mkdtemp(&template).map { String(cString: $0) })
    self.folder = folder
    _ = try MigrationRunner(directory: folder).run()
    thread = try DatabaseThread(DatabaseFile(.bindery, in: folder), as: .auth)
    Self.write(held.map { Self.keys[$0] }, to: folder)
    let source = try MasterKeys.read(file: "\(folder)/keys.json")
    keys = KeyAgent(ring: source.ring, environment: .test)
    accounts = SQLiteAccounts(thread, sealing: keys)
    rotator = KeyRotator(
      store: accounts, keys: keys,
      around: KeyRotator.Surroundings(
        log: .discarding, metrics: metrics,
        pause: { [rests] duration in
          rests.durations.withLock { $0.append(duration) }
          await rests.body.withLock { $0 }()
        }, spawn: { [rests] work in if rests.works { Task { await work() } } }))
    reload = KeyReload(
      source: source, keys: keys, store: accounts, rotator: rotator, log: .discarding)
    calls = KeyCalls(keys: keys, store: accounts, rotator: rotator, reload: reload)
  }

  deinit {
    thread.stop()
    thread.join()
    for name in ["bindery.sqlite", "tokens.sqlite"] {
      for tail in ["", "-wal", "-shm"] { unlink("\(folder)/\(name)\(tail)") }
    }
    unlink("\(folder)/keys.json")
    unlink("\(folder)/migrate.lock")
    rmdir(folder)
  }

  static func write(_ keys: [String], to folder: String) {
    let text = "[" + keys.map { "{\"key\":\"\($0)\"}" }.joined(separator: ",") + "]"
    let file = open("\(folder)/keys.json", O_WRONLY | O_CREAT | O_TRUNC, 0o600)
    _ = text.withCString { Glibc.write(file, $0, strlen($0)) }
    close(file)
  }

  func hold(_ held: [Int]) { Self.write(held.map { Self.keys[$0] }, to: folder) }

  func fingerprint(_ index: Int) -> String {
    // The first 8 bytes of SHA-256 of the text.
    SHA256Digest.of(Self.keys[index]).prefix(8).map { byte in
      let digits = String(byte, radix: 16)
      return digits.utf8.count == 1 ? "0" + digits : digits
    }.joined()
  }

  func person() async throws -> User {
    let password = StoredPassword(
      costN: 2, costR: 1, costP: 1, salt: [UInt8](repeating: 1, count: 16),
      hash: [UInt8](repeating: 2, count: 32))
    return try await accounts.addUser(
      email: try #require(EmailAddress("a@example.org")), password: password, usersMax: nil,
      now: .now
    ).user
  }

  /// Managed connections under the active key.
  func connect(_ count: Int, of user: User) async throws -> [ConnectionID] {
    var ids: [ConnectionID] = []
    for _ in 0..<count {
      let id = ConnectionID.random()
      let credential = CredentialID.random()
      let made = try keys.makeKeys(
        sealing: Secret(count: 3) { _ in }, connection: id, owner: user.id, credential: credential,
        managed: true)
      _ = try await accounts.addConnection(
        ConnectionRecord(
          id: id, userID: user.id, service: "alpha", label: "x", authType: .apiKey,
          keyStorageMode: .managed, createdAt: .now), serviceName: "Alpha",
        managedWrap: made.managedWrap,
        credential: NewCredential(
          record: CredentialRecord(id: credential, connectionID: id, name: "n", createdAt: .now),
          lookup: made.lookup, wrap: made.wrap))
      ids.append(id)
    }
    return ids
  }

  /// A managed connection whose provider is told when it ends.
  func connectRevocable(of user: User) async throws -> ConnectionID {
    let id = ConnectionID.random()
    let credential = CredentialID.random()
    let made = try keys.makeKeys(
      sealing: Secret(count: 3) { _ in }, connection: id, owner: user.id, credential: credential,
      managed: true)
    _ = try await accounts.addConnection(
      ConnectionRecord(
        id: id, userID: user.id, service: "alpha", label: "x", authType: .oauth,
        keyStorageMode: .managed, createdAt: .now, isRevocableUpstream: true),
      serviceName: "Alpha", managedWrap: made.managedWrap,
      credential: NewCredential(
        record: CredentialRecord(id: credential, connectionID: id, name: "n", createdAt: .now),
        lookup: made.lookup, wrap: made.wrap),
      claim: NewClaim(
        token: Ticket().hash(for: .claim), sealed: [UInt8](repeating: 9, count: 570)),
      replacing: nil)
    return id
  }

  /// Whether the wrap of a connection is under `index` and opens.
  func opens(_ id: ConnectionID, of user: User, under index: Int) async throws -> Bool {
    guard let wrap = try await accounts.managedWrap(id, of: user.id) else { return false }
    let made = try? keys.makeFurtherKeys(
      from: .managed(wrap), connection: id, owner: user.id, credential: .random())
    return made != nil && wrap.fingerprint == fingerprint(index)
  }

  /// The same; false when there is no such live connection.
  func opensAlive(_ id: ConnectionID, of user: User, under index: Int) async throws -> Bool {
    do throws(AccountError) { _ = try await accounts.connection(id, of: user.id) } catch {
      guard error == .notFound else { throw error }
      return false
    }
    return try await opens(id, of: user, under: index)
  }

  func spoil(_ id: ConnectionID) async throws {
    try await thread.run { (database) throws(DatabaseError) in
      try database.execute(
        "UPDATE connections SET managed_wrap = zeroblob(314) WHERE id = ?", .text(id.text))
    }
  }

  func counts() async throws -> [String: Int64] {
    Dictionary(
      try await accounts.sealedCounts().map { ($0.fingerprint, $0.count) }, uniquingKeysWith: +)
  }
}

@Suite("Key rotation") struct RotationTests {
  private func started(
    _ rig: RotationRig, _ connections: Int, rate: Int64? = nil
  ) async throws -> (User, [ConnectionID]) {
    let user = try await rig.person()
    let ids = try await rig.connect(connections, of: user)
    rig.hold([0, 1])
    try await rig.reload.run()
    _ = try await rig.accounts.startRotation(
      to: rig.fingerprint(1), rate: rate, now: .now)
    return (user, ids)
  }

  @Test("everything comes under the active key and opens as before")
  func whole() async throws {
    let rig = try RotationRig()
    let (user, ids) = try await started(rig, 300)
    await rig.rotator.run()
    let rotation = try #require(try await rig.accounts.rotation())
    #expect(rotation.state == .completed && rotation.done == 300 && rotation.total == 300)
    #expect(try await rig.counts() == [rig.fingerprint(1): 300])
    for id in ids { #expect(try await rig.opens(id, of: user, under: 1)) }
    #expect(rig.metrics.totals["bindery_auth_rotation_rows_total"] == 300)
    #expect(rig.metrics.totals["bindery_auth_rotation_failures_total"] == 0)
  }

  @Test("wraps that wait for a provider and secrets of our clients come along")
  func otherColumns() async throws {
    let rig = try RotationRig()
    let user = try await rig.person()
    let revoked = try await rig.connectRevocable(of: user)
    _ = try await rig.accounts.revokeConnection(revoked, of: user.id, now: .now)
    let place = RegistrationPlace(
      issuer: "https://a.example", redirectURI: "https://b.example/callback")
    let context = SealContext.registrationSecret(
      issuer: place.issuer, redirectURI: place.redirectURI)
    let ring = try #require(rig.keys.ring)
    let secret = SealEngine().wrap(DataKey.random(), under: ring, context: context)
    try await rig.accounts.keepRegistration(
      StoredRegistration(
        clientID: "us", authentication: "post",
        secret: ManagedWrap(sealed: secret, fingerprint: rig.fingerprint(0)),
        managementURI: nil, expiresAt: nil), at: place, now: .now)
    #expect(
      Set(try await rig.accounts.sealedCounts().map(\.column)) == [
        .partedWrap, .registrationSecret,
      ])
    rig.hold([0, 1])
    try await rig.reload.run()
    _ = try await rig.accounts.startRotation(to: rig.fingerprint(1), rate: nil, now: .now)
    await rig.rotator.run()
    #expect(try await rig.accounts.rotation()?.state == .completed)
    #expect(try await rig.counts() == [rig.fingerprint(1): 2])
    // Opened with the new key alone.
    rig.keys.retire(rig.fingerprint(0))
    let alone = try #require(rig.keys.ring)
    let (owner, wrap) = try #require(try await rig.accounts.openableWrap(of: revoked))
    #expect(owner == user.id && wrap.fingerprint == rig.fingerprint(1))
    let engine = SealEngine()
    _ = try wrap.sealed.withUnsafeBytes {
      _ = try engine.unwrap(
        $0, with: alone, context: .managedWrap(connection: revoked.text, owner: owner.text))
    }
    let kept = try #require(try await rig.accounts.registration(at: place)?.secret)
    #expect(kept.fingerprint == rig.fingerprint(1))
    _ = try kept.sealed.withUnsafeBytes {
      _ = try engine.unwrap($0, with: alone, context: context)
    }
  }

  @Test("rows that do not open are counted and passed over")
  func unreadable() async throws {
    let rig = try RotationRig()
    let (user, ids) = try await started(rig, 20)
    for id in ids.prefix(3) { try await rig.spoil(id) }
    await rig.rotator.run()
    let rotation = try #require(try await rig.accounts.rotation())
    #expect(rotation.state == .failed && rotation.reason == "rows_unreadable")
    #expect(rotation.done == 17 && rotation.failed == 3)
    #expect(try await rig.counts() == [rig.fingerprint(0): 3, rig.fingerprint(1): 17])
    for id in ids.dropFirst(3) { #expect(try await rig.opens(id, of: user, under: 1)) }
    #expect(rig.metrics.totals["bindery_auth_rotation_failures_total"] == 3)
  }

  @Test("what was cut off goes on where it was, with a new process")
  func resumption() async throws {
    let rig = try RotationRig()
    let (user, ids) = try await started(rig, 600)
    let cut = Task { await rig.rotator.run() }
    rig.rests.body.withLock { body in
      body = {
        // The first process ends here: its work never goes on.
        await withUnsafeContinuation { (_: UnsafeContinuation<Void, Never>) in }
      }
    }
    _ = cut
    while try await rig.accounts.rotation()?.done == 0 { await Task.yield() }
    let half = try #require(try await rig.accounts.rotation())
    #expect(half.state == .running && half.done == 256)
    let next = KeyRotator(
      store: rig.accounts, keys: rig.keys,
      around: .init(log: .discarding, metrics: MetricRegistry(), pause: { _ in }, spawn: { _ in }))
    await next.run()
    let rotation = try #require(try await rig.accounts.rotation())
    #expect(rotation.id == half.id && rotation.state == .completed && rotation.done == 600)
    for id in ids { #expect(try await rig.opens(id, of: user, under: 1)) }
  }

  @Test("revoked, added and held in the middle")
  func disturbances() async throws {
    let rig = try RotationRig()
    let (user, ids) = try await started(rig, 400)
    let pages = Mutex(0)
    rig.rests.body.withLock { body in
      body = {
        guard
          pages.withLock({
            $0 += 1; return $0
          }) == 1
        else { return }
        _ = try? await rig.accounts.revokeConnection(ids[399], of: user.id, now: .now)
        _ = try? await rig.connect(1, of: user)
        _ = try? await rig.calls.act(on: .init(.pause))
      }
    }
    await rig.rotator.run()
    var rotation = try #require(try await rig.accounts.rotation())
    #expect(rotation.state == .paused && rotation.done == 256)
    #expect(try await rig.calls.act(on: .init(.retire, fingerprint: rig.fingerprint(0))) != nil)
    #expect(try await rig.accounts.holdRotation(false, rate: nil, now: .now).state == .running)
    await rig.rotator.run()
    rotation = try #require(try await rig.accounts.rotation())
    #expect(rotation.state == .completed && rotation.done == 399)
    #expect(try await rig.counts() == [rig.fingerprint(1): 400])
    #expect(try await rig.calls.act(on: .init(.pause)) == "no rotation is under way")
  }

  @Test("rows that are revoked at the same instant stay revoked", arguments: [UInt64(1), 2, 3])
  func revocations(seed: UInt64) async throws {
    let rig = try RotationRig()
    // Pages of ten rows, so that many of them lie between two reads of the same row.
    let (user, ids) = try await started(rig, 1000, rate: 40)
    var dice = Dice(state: seed)
    let revoked = Set(ids.shuffled(using: &dice).prefix(500))
    async let rotation: Void = rig.rotator.run()
    for id in ids.shuffled(using: &dice) where revoked.contains(id) {
      _ = try await rig.accounts.revokeConnection(id, of: user.id, now: .now)
      if Bool.random(using: &dice) { await Task.yield() }
    }
    await rotation
    #expect(try await rig.accounts.rotation()?.state == .completed)
    #expect(try await rig.counts() == [rig.fingerprint(1): 500])
    for id in ids {
      #expect(try await rig.opensAlive(id, of: user, under: 1) == !revoked.contains(id))
    }
  }

  /// SplitMix64: the same interleaving of wishes for the same seed.
  struct Dice: RandomNumberGenerator {
    var state: UInt64
    mutating func next() -> UInt64 {
      state &+= 0x9e37_79b9_7f4a_7c15
      var mixed = state
      mixed = (mixed ^ (mixed >> 30)) &* 0xbf58_476d_1ce4_e5b9
      mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
      return mixed ^ (mixed >> 31)
    }
  }

  @Test("no more rows a second than asked for, in small pages")
  func rate() async throws {
    #expect(KeyRotator.pageRows(nil) == 256 && KeyRotator.pageRows(100_000) == 256)
    #expect(KeyRotator.pageRows(40) == 10 && KeyRotator.pageRows(1) == 1)
    #expect(KeyRotator.rest(after: 10, took: .milliseconds(50), rate: 40) == .milliseconds(200))
    #expect(KeyRotator.rest(after: 10, took: .seconds(9), rate: 40) == .milliseconds(1))
    #expect(KeyRotator.rest(after: 256, took: .zero, rate: nil) == .milliseconds(1))
    let rig = try RotationRig()
    _ = try await started(rig, 25, rate: 40)
    await rig.rotator.run()
    let pauses = rig.rests.durations.withLock { $0 }
    // What a page took counts against its pause, so a busy machine pauses less, never more.
    #expect(pauses.count == 3)
    #expect(pauses.allSatisfy { $0 >= .milliseconds(1) && $0 <= .milliseconds(250) })
    #expect(try await rig.accounts.rotation()?.state == .completed)
  }

  @Test("ends when its key is not the active one any more")
  func overtakenByReload() async throws {
    let rig = try RotationRig()
    _ = try await started(rig, 5)
    rig.hold([0, 1, 2])
    try await rig.reload.run()
    await rig.rotator.run()
    let rotation = try #require(try await rig.accounts.rotation())
    #expect(rotation.state == .failed && rotation.reason == "target_not_active")
    #expect(try await rig.counts() == [rig.fingerprint(0): 5])
  }

  @Test("a file that is not sound, or lacks a needed key, changes nothing")
  func reloading() async throws {
    let rig = try RotationRig()
    let user = try await rig.person()
    _ = try await rig.connect(2, of: user)
    let before = rig.keys.fingerprints
    #expect(before == [rig.fingerprint(0)])
    RotationRig.write([RotationRig.keys[0], "xx"], to: rig.folder)
    var problem = try await rig.calls.act(on: .init(.reload))
    #expect(problem == "MANAGED_ENCRYPTION_KEYS_FILE: entry 2 is not 64 hex digits long")
    #expect(rig.keys.fingerprints == before)
    rig.hold([1])
    problem = try await rig.calls.act(on: .init(.reload))
    #expect(problem?.contains(rig.fingerprint(0)) == true && problem?.contains("2 rows") == true)
    #expect(rig.keys.fingerprints == before)
    unlink("\(rig.folder)/keys.json")
    #expect(try await rig.calls.act(on: .init(.reload)) != nil)
    #expect(rig.keys.fingerprints == before)
    rig.hold([0, 2])
    #expect(try await rig.calls.act(on: .init(.reload)) == nil)
    #expect(rig.keys.fingerprints == [rig.fingerprint(0), rig.fingerprint(2)])
  }

  @Test("a key goes when nothing needs it")
  func retiring() async throws {
    let rig = try RotationRig()
    _ = try await started(rig, 3)
    let old = rig.fingerprint(0)
    #expect(
      try await rig.calls.act(on: .init(.start, fingerprint: old))
        == "the key to rotate to is not the active one of auth")
    await rig.rotator.run()
    let rows: [(String, String?)] = [
      (rig.fingerprint(1), "the key is the active one"),
      (rig.fingerprint(2), "auth does not hold this key"), (old, nil),
      (old, "auth does not hold this key"),
    ]
    for (fingerprint, problem) in rows {
      #expect(try await rig.calls.act(on: .init(.retire, fingerprint: fingerprint)) == problem)
    }
    let report = try await rig.calls.report()
    #expect(report.fingerprints == [rig.fingerprint(1)])
    #expect(report.rows.map(\.count) == [3] && report.rotation?.state == "completed")
  }

  @Test("asked for over the socket, it begins; asked again and again, it works once")
  func asked() async throws {
    let rig = try RotationRig(works: true)
    let user = try await rig.person()
    _ = try await rig.connect(300, of: user)
    rig.hold([0, 1])
    #expect(try await rig.calls.act(on: .init(.reload)) == nil)
    let start = RotateCall.Request(.start, fingerprint: rig.fingerprint(1))
    for _ in 0..<20 { #expect(try await rig.calls.act(on: start) == nil) }
    while try await rig.counts() != [rig.fingerprint(1): 300] { await Task.yield() }
    while try await rig.accounts.rotation()?.isOpen == true { await Task.yield() }
    #expect(rig.metrics.totals["bindery_auth_rotation_rows_total"] == 300, "no row twice")
  }

  @Test("a key that a row needs does not go") func needed() async throws {
    let rig = try RotationRig([0, 1])
    let user = try await rig.person()
    let ids = try await rig.connect(1, of: user)
    rig.hold([0, 1, 2])
    try await rig.reload.run()
    #expect(
      try await rig.calls.act(on: .init(.retire, fingerprint: rig.fingerprint(1)))
        == "1 rows of connections.managed_wrap are under the key")
    #expect(rig.keys.has(rig.fingerprint(1)))
    #expect(try await rig.opens(ids[0], of: user, under: 1))
  }

  @Test("a wrap made under the old key is stored under the new one") func lateWrap() async throws {
    let rig = try RotationRig()
    let user = try await rig.person()
    let id = ConnectionID.random()
    let credential = CredentialID.random()
    let made = try rig.keys.makeKeys(
      sealing: Secret(count: 3) { _ in }, connection: id, owner: user.id, credential: credential,
      managed: true)
    #expect(made.managedWrap?.fingerprint == rig.fingerprint(0))
    rig.hold([0, 1])
    try await rig.reload.run()
    let record = ConnectionRecord(
      id: id, userID: user.id, service: "alpha", label: "x", authType: .apiKey,
      keyStorageMode: .managed, createdAt: .now)
    let first = NewCredential(
      record: CredentialRecord(id: credential, connectionID: id, name: "n", createdAt: .now),
      lookup: made.lookup, wrap: made.wrap)
    rig.keys.retire(rig.fingerprint(0))
    await #expect(throws: AccountError.masterKeyGone) {
      try await rig.accounts.addConnection(
        record, serviceName: "Alpha", managedWrap: made.managedWrap, credential: first)
    }
    try await rig.reload.run()
    _ = try await rig.accounts.addConnection(
      record, serviceName: "Alpha", managedWrap: made.managedWrap, credential: first)
    #expect(try await rig.opens(id, of: user, under: 1))
  }
}
