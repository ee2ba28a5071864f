// `bindery generate-key`: a fresh master key for the managed mode, printed or put into a file that
// only its owner may read, or a fresh key that signs tokens, put into auth's file. The tool keeps
// no copy.

import Bytes
import Vault

/// Makes keys.
enum GenerateKeyCommand: Command {
  static let name = "generate-key"
  static let summary = "Make a master key for the managed mode, or a key that signs tokens"
  static let manual = """
    bindery generate-key [--json | --file PATH]
    bindery generate-key --signing [--remove-old [--at-once]] [--json]

    The first form prints 64 hex digits from the kernel's random generator: a value for
    MANAGED_ENCRYPTION_MASTER_KEY, or for an entry of MANAGED_ENCRYPTION_KEYS.
    --json       prints [{"key":"..."}], a whole value for MANAGED_ENCRYPTION_KEYS.
    --file PATH  writes that to a new file (0600) for MANAGED_ENCRYPTION_KEYS_FILE and prints
                 nothing; an existing file is never touched.

    --signing    appends a fresh key to signing-keys.json in BINDERY_DATA_DIR. Send auth SIGHUP (or
                 bindery up, which passes it on): then the new key signs, and what the old ones
                 signed holds until it ends by itself.
    --remove-old takes the old keys out of that file, those that signed nothing within the hour that
                 a token can live. Refused (1) while there is none. SIGHUP again makes auth forget.
    --at-once    all old keys, after a leak: what they signed is refused from the next SIGHUP on,
                 but for access tokens that the edge is using; those last 15 minutes at most.
    --json       prints {"keys":[...]}, the names of the keys in the file; the last one signs.
    Run it as the services' user or as root.
    """

  static func run(
    _ arguments: inout Arguments, _ console: Console
  ) throws(CommandFailure) -> ExitStatus {
    let isJSON = arguments.flag("--json")
    if arguments.flag("--signing") {
      let change = try SigningKeyChange(&arguments)
      return try change.run(console, isJSON: isJSON)
    }
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
