// `bindery generate-key`: a fresh master key for the managed mode, printed or put into a file that
// only its owner may read. The tool keeps no copy.

import Bytes
import Vault

/// Makes master keys.
enum GenerateKeyCommand: Command {
  static let name = "generate-key"
  static let summary = "Make a master key for the managed mode"
  static let manual = """
    bindery generate-key [--json | --file PATH]

    Prints 64 hex digits from the kernel's random generator: a value for
    MANAGED_ENCRYPTION_MASTER_KEY, or for an entry of MANAGED_ENCRYPTION_KEYS.
    --json       prints [{"key":"..."}], a whole value for MANAGED_ENCRYPTION_KEYS.
    --file PATH  writes that to a new file (0600) for MANAGED_ENCRYPTION_KEYS_FILE and prints
                 nothing; an existing file is never touched.
    """

  static func run(
    _ arguments: inout Arguments, _ console: Console
  ) throws(CommandFailure) -> ExitStatus {
    let isJSON = arguments.flag("--json")
    let file = try arguments.option("--file")
    try arguments.finish()
    guard !(isJSON && file != nil) else { throw .usage("--json and --file exclude each other") }
    let ring = KeyRing.makeText()
    if let file {
      do throws(KeyFileError) {
        try KeyFile.create(file, contents: ring)
      } catch {
        throw .failed("the file could not be made: \(error)")
      }
      return .good
    }
    let text = ring.withBytes { String(decoding: $0, as: UTF8.self) }
    console.write(isJSON ? text : "\(text.dropFirst(9).prefix(64))\n")
    return .good
  }
}
