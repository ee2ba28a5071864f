// `bindery demo`: the whole system with an MCP server of ours behind it, for people without any
// account: starts the server, runs `up` with a catalogue that has it, and prints the commands that
// connect it and call it through the edge.

import Bytes
import Clocks
import Configuration
import EventLoop
import Glibc
import HTTPServer
import Posix
import Vault

/// Runs the system with something to connect to.
enum DemoCommand: Command {
  static let name = "demo"
  static let summary = "Run the whole system with a demo service to connect"
  static let manual = """
    bindery demo

    Like `bindery up`, and starts an MCP server of its own on a loopback port that wants an API key
    (tools: echo, clock, and slow with progress). It is in the catalogue as the service "demo".
    When all are ready, prints the commands that make an account, connect the service and call it
    through the edge; copy them into another terminal. PROVIDERS_FILE must not be set.
    The demo's key is kept in <data>/demo-key (0600), so that connections survive a restart.
    """

  static func run(
    _ arguments: inout Arguments, _ console: Console
  ) throws(CommandFailure) -> ExitStatus {
    try arguments.finish()
    Supervisor.claimSignals()
    let environment = Environment.take()
    guard !environment.isSet(.providersFile) else {
      throw .usage("PROVIDERS_FILE is set; the demo brings its own catalogue")
    }
    let common = try OperatorSettings.read(try FreePort.chosen(in: environment)).common
    try Folders.make(common)
    let key = try readKey(common)
    let loop: EventLoop
    do throws(Errno) { loop = try EventLoop(name: "demo") } catch {
      throw .failed("no event loop (\(error.name))")
    }
    loop.start()
    let started: Result<WebServer, Errno> = LoopWait.run(on: loop) {
      do throws(Errno) {
        return .success(try await DemoServer.start(key: key, on: loop))
      } catch { return .failure(error) }
    }
    guard case .success(let server) = started, let address = server.addresses.first else {
      throw .failed("the demo server cannot listen")
    }
    let catalogue = "\(common.runDirectory)/demo-providers.json"
    try write(DemoText.catalogue(address: address), to: catalogue)
    let demo = environment.setting(["\(Setting.providersFile.name)": catalogue])
    return try UpCommand.run(demo, console) { origin in
      console.write("ready \(origin)\n")
      console.write(
        DemoText.commands(
          origin: origin, key: String(decoding: key, as: UTF8.self),
          name: Hex.encode(Randomness.bytes(count: 4))))
    }
  }

  /// The demo server's API key, made at the first start.
  private static func readKey(_ common: CommonSettings) throws(CommandFailure) -> [UInt8] {
    let path = "\(common.dataDirectory)/demo-key"
    do throws(KeyFileError) {
      var fresh = Array("demo_\(Hex.encode(Randomness.bytes(count: 16)))".utf8)
      try KeyFile.create(path, contents: Secret(wiping: &fresh))
    } catch {
      if error != .exists { throw .failed("<data>/demo-key could not be made: \(error)") }
    }
    do throws(KeyFileError) {
      return try KeyFile.read(path).withBytes { Array($0) }
    } catch {
      throw .failed("<data>/demo-key could not be read: \(error)")
    }
  }

  private static func write(_ text: String, to path: String) throws(CommandFailure) {
    let number = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0o640)
    guard number >= 0 else { throw .failed("the catalogue cannot be made (\(Errno.last.name))") }
    let file = Descriptor(owning: number)
    let bytes = Array(text.utf8)
    guard Glibc.write(file.number, bytes, bytes.count) == bytes.count else {
      throw .failed("the catalogue cannot be written (\(Errno.last.name))")
    }
  }
}
