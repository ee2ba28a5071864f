// Knows which exchanges of a loop are under way and on whose credential, so that a revocation cuts
// them: the shared counters are looked at twice a second, and every credential again each minute.
// Needs neither auth nor scheduler to be alive. Loop-confined.

import Accounts
import Clocks

/// An exchange that can be cut.
protocol Cuttable: AnyObject {
  func cutForRevocation()
}

/// The running exchanges of one loop.
final class StreamRegistry {
  struct Entry {
    fileprivate let slot: Int
  }

  private struct Held {
    // Unsafe to spare a count a request: who adds an exchange holds it until `remove`.
    unowned(unsafe) let relay: any Cuttable
    // Unsafe for the same reason.
    unowned(unsafe) let resolved: ResolvedCredential
    /// Renewed when the credential was found standing, so that one change costs one read.
    var mark: EpochMark
  }

  private var held: [Held?] = []
  private var free: [Int] = []
  private var lastFullCheck = Instant(nanoseconds: 0)
  /// Exchanges under way.
  private(set) var count = 0

  func add(_ relay: some Cuttable, _ resolved: ResolvedCredential) -> Entry {
    let slot = free.popLast() ?? held.count
    let entry = Held(relay: relay, resolved: resolved, mark: resolved.credential.mark)
    if slot == held.count { held.append(entry) } else { held[slot] = entry }
    count += 1
    return Entry(slot: slot)
  }

  func remove(_ entry: Entry) {
    held[entry.slot] = nil
    free.append(entry.slot)
    count -= 1
  }

  /// Cuts what stands on a credential that does not stand any more. When the database can not be
  /// read, streams go on until it can: new requests are refused meanwhile.
  func check(epochs: RevocationEpochs, resolver: CredentialResolver, now: Instant) {
    let all = lastFullCheck.advanced(bySeconds: CredentialResolver.rememberedSeconds) <= now
    if all { lastFullCheck = now }
    let time = UnixTime.now
    for slot in held.indices {
      guard let entry = held[slot] else { continue }
      let ended = entry.resolved.hasEnded(at: time)
      guard all || ended || !epochs.isCurrent(entry.mark) else { continue }
      do throws(Refusal) {
        held[slot]?.mark = try resolver.markIfStanding(entry.resolved)
      } catch {
        if error == .credentialRefused { entry.relay.cutForRevocation() }
      }
    }
  }
}
