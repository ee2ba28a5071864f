// Does a stored value look like one that was sealed? Its envelope alone is judged, without any key: an
// envelope that is right may still not open, one that is wrong never will.

/// Why a token blob can never be opened.
public enum EnvelopeFault: Equatable, Sendable {
  case length
  case version
  /// Not sealed under a data key.
  case mode
  /// Names a master key, which seals no blob.
  case fingerprint

  /// The fault of `sealed` as a token blob, nil when there is none.
  public static func ofBlob(_ sealed: [UInt8]) -> EnvelopeFault? {
    guard SealedValue.isPossible(sealed.count) else { return .length }
    guard sealed[0] == SealedValue.version else { return .version }
    guard sealed[1] == SealedValue.Mode.dataKey.rawValue else { return .mode }
    return sealed[SealedValue.fingerprintRange].allSatisfy { $0 == 0 } ? nil : .fingerprint
  }
}
