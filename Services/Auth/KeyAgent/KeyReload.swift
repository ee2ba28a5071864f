// Takes the key file anew while the service runs, on SIGHUP or when the operator's tool asks. A file
// that is not sound, and one that lacks a key that rows still need, change nothing: the keys in memory
// may be the last there are.

import Accounts
import Configuration
import Database
import Logging
import Vault

/// Why the keys stayed as they were.
enum KeyReloadProblem: Error {
  /// They did not come from a file.
  case noFile
  case configuration(ConfigurationError)
  /// A key that would go is needed.
  case needed(SealedCount)
  case database

  /// A sentence for the operator.
  var text: String {
    switch self {
    case .noFile:
      "auth did not get its master keys from MANAGED_ENCRYPTION_KEYS_FILE, so it can not read them "
        + "again"
    case .configuration(let error): error.description
    case .needed(let rows):
      "the file lacks the key \(rows.fingerprint), under which \(rows.count) rows of "
        + "\(rows.column.rawValue) are; auth keeps the keys that it holds"
    case .database: "the database can not be read now; auth keeps the keys that it holds"
    }
  }
}

/// The keys and where they come from.
struct KeyReload: Sendable {
  let source: MasterKeys?
  let keys: KeyAgent
  let store: any RotationStore
  let rotator: KeyRotator
  let log: Log

  /// Reads the file and goes on with what it holds.
  func run() async throws(KeyReloadProblem) {
    do throws(KeyReloadProblem) { try await take() } catch {
      note(error)
      throw error
    }
    log.info(
      "master_keys_loaded",
      ["keys": .count(keys.fingerprints.count), "active": .text(.fingerprint(active))])
    rotator.kick()
  }

  private var active: String { keys.activeFingerprint ?? "" }

  private func take() async throws(KeyReloadProblem) {
    guard let source, source.file != nil else { throw .noFile }
    let keys = keys
    let problem: KeyReloadProblem?
    do throws(AccountError) {
      // The file is read there, too: of two reloads the later one reads later.
      problem = try await store.whileNothingIsWritten { rows in
        let ring: KeyRing
        do throws(ConfigurationError) { ring = try source.reread().ring } catch {
          return .configuration(error)
        }
        let stays = Set(ring.keys.map(\.fingerprint.description))
        let needed = rows.first { keys.has($0.fingerprint) && !stays.contains($0.fingerprint) }
        if let needed { return .needed(needed) }
        keys.use(ring)
        return nil
      }
    } catch { throw .database }
    if let problem { throw problem }
  }

  private func note(_ problem: KeyReloadProblem) {
    switch problem {
    case .noFile: break
    case .configuration(let error): log.error("master_keys_not_reloaded", error.logFields)
    case .needed(let rows):
      log.error(
        "master_keys_not_reloaded",
        [
          "reason": "key_needed", "fingerprint": .text(.fingerprint(rows.fingerprint)),
          "rows": .count(rows.count),
        ])
    case .database: log.error("master_keys_not_reloaded", ["reason": "database"])
    }
  }
}
