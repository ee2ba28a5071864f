// A secret that came from the settings: held in wiped memory, shared by reference, and mute. What
// it is for is known to who reads it; it cannot be printed, interpolated, compared or encoded.

import Bytes

/// A secret value of a setting.
public final class SecretSetting: Sendable, CustomStringConvertible, CustomReflectable {
  private let secret: Secret

  /// Copies bytes that stay the caller's to wipe.
  public init(copying bytes: UnsafeRawBufferPointer) { secret = Secret(copying: bytes) }

  /// Takes the bytes over and wipes them.
  public init(wiping bytes: inout [UInt8]) { secret = Secret(wiping: &bytes) }

  /// Lends the bytes to `body`.
  public func withBytes<Result, Failure: Error>(
    _ body: (UnsafeRawBufferPointer) throws(Failure) -> Result
  ) throws(Failure) -> Result {
    try secret.withBytes(body)
  }

  /// The length, which is not secret.
  public var count: Int { secret.count }

  /// Says nothing.
  public var description: String { "(secret)" }

  /// Shows nothing, so that a dump of settings stays mute too.
  public var customMirror: Mirror { Mirror(self, children: EmptyCollection<Mirror.Child>()) }
}
