// Which release is this? Told in greetings, status answers and the first log line. One number
// for all executables; the changelog says what it means.

/// This build.
package enum Build {
  /// The release's number.
  package static let version: StaticString = "0.1.0"
}
