// A migrated database in a folder of its own, for one test, and ready-made records. Nothing of it
// outlives the test.

import Accounts
import Clocks
import Database
import Glibc
import JOSE
import TestFolders
import Testing
import Vault

/// A data folder and a run folder that vanish with the test.
final class Fixture: Sendable {
  static let now = UnixTime(seconds: 1_800_000_000)

  private let home = TestFolder("accounts")
  let accounts: SQLiteAccounts
  let thread: DatabaseThread

  init() throws {
    let folder = home.path
    _ = try MigrationRunner(directory: folder).run()
    thread = try DatabaseThread(DatabaseFile(.bindery, in: folder), as: .auth)
    accounts = SQLiteAccounts(thread)
  }

  var folder: String { home.path }

  deinit {
    thread.stop()
    thread.join()
  }

  static let password = StoredPassword(
    costN: 2, costR: 1, costP: 1, salt: [UInt8](repeating: 1, count: 16),
    hash: [UInt8](repeating: 2, count: 32))

  func addUser(_ email: String = "a@example.org") async throws -> (User, SessionTokens) {
    let address = try #require(EmailAddress(email))
    let added = try await accounts.addUser(
      email: address, password: Self.password, usersMax: nil, now: Self.now)
    return (added.user, added.tokens)
  }

  func addConnection(
    of user: User, lookup: [UInt8] = SHA256Digest.of("lookup"), label: String = "",
    managed: Bool = false, through store: SQLiteAccounts? = nil
  ) async throws -> (ConnectionRecord, CredentialID) {
    let id = ConnectionID.random()
    let credential = NewCredential(
      record: CredentialRecord(
        id: .random(), connectionID: id, name: "first", createdAt: Self.now),
      lookup: lookup, wrap: [UInt8](repeating: 7, count: 314))
    let record = try await (store ?? accounts).addConnection(
      ConnectionRecord(
        id: id, userID: user.id, service: "linear", label: label, authType: .apiKey,
        keyStorageMode: managed ? .managed : .zeroKnowledge, createdAt: Self.now),
      serviceName: "Linear",
      managedWrap: managed
        ? ManagedWrap(sealed: [1, 2, 3], fingerprint: "0123456789abcdef") : nil,
      credential: credential)
    return (record, credential.record.id)
  }

  /// A connection by OAuth.
  func connect(
    _ user: User, claim: Digest256 = Ticket().hash(for: .claim), replacing: ConnectionID? = nil,
    managed: Bool = false, revocable: Bool = true, lookup: [UInt8]? = nil,
    at time: UnixTime = Fixture.now
  ) async throws -> (connection: ConnectionRecord, replaced: Parting?) {
    let id = ConnectionID.random()
    return try await accounts.addConnection(
      ConnectionRecord(
        id: id, userID: user.id, service: "linear", label: "", authType: .oauth,
        keyStorageMode: managed ? .managed : .zeroKnowledge, createdAt: time,
        isRevocableUpstream: revocable),
      serviceName: "Linear",
      managedWrap: managed
        ? ManagedWrap(sealed: [1, 2, 3], fingerprint: "0123456789abcdef") : nil,
      credential: NewCredential(
        record: CredentialRecord(id: .random(), connectionID: id, name: "first", createdAt: time),
        lookup: lookup ?? SHA256Digest.of(id.text), wrap: [UInt8](repeating: 7, count: 314)),
      claim: NewClaim(token: claim, sealed: [UInt8](repeating: 9, count: 570)),
      replacing: replacing)
  }

  /// The wrap under a master key as it stands in the row of a connection, alive or not.
  func wrap(_ id: ConnectionID, of user: User) async throws -> ManagedWrap? {
    do throws(AccountError) { return try await accounts.managedWrap(id, of: user.id) } catch {
      guard error == .notFound else { throw error }
      return nil
    }
  }
}
