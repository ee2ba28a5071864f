// Which release is this? Told in greetings, status answers and the first log line. One number
// for all executables; the changelog says what it means.

/// This build.
public enum Build {
  /// The release's number.
  public static let version: StaticString = "0.1.0"
}
